try {
const response = await fetch('/api/endpoint', {
method: 'POST',
headers: {
'Content-Type': 'application/json',
Authorization: `Bearer ${token}`,
},
body: JSON.stringify(data),
})
const result = await response.json()
if (!response.ok) {
throw new Error(result.error || 'Request failed')
}
// Handle success
console.log(result.data)
} catch (error) {
console.error('API error:', error.message)
}
