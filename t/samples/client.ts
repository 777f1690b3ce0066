async function getConfig() {
const response = await fetch('/api/config')
const data = await response.json()
return data.config
}

async function updateConfig(updates: Partial<AppConfig>, token: string) {
const response = await fetch('/api/config', {
method: 'POST',
headers: {
'Content-Type': 'application/json',
Authorization: `Bearer ${token}`,
},
body: JSON.stringify(updates),
})
if (!response.ok) {
const error = await response.json()
throw new Error(error.error)
}
return response.json()
}

async function apiRequestWithRetry(url: string, options: RequestInit, maxRetries = 3) {
for (let i = 0; i < maxRetries; i++) {
const response = await fetch(url, options)
if (response.status !== 429) {
return response
}
// Exponential backoff: 1s, 2s, 4s
const delay = Math.pow(2, i) * 1000
await new Promise((resolve) => setTimeout(resolve, delay))
}
throw new Error('Max retries exceeded')
}
