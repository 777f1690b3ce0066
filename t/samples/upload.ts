async function uploadFile(file: File, token: string) {
// Step 1: Initialize upload
const initResponse = await fetch('/api/upload', {
method: 'POST',
headers: {
'Content-Type': 'application/json',
Authorization: `Bearer ${token}`,
},
body: JSON.stringify({
filename: file.name,
contentType: file.type,
size: file.size,
}),
})
const { fileId, uploadUrl, method, headers } = await initResponse.json()
// Step 2: Upload file to presigned URL
const uploadResponse = await fetch(uploadUrl, {
method,
headers,
body: file,
})
if (!uploadResponse.ok) {
throw new Error('Upload failed')
}
return fileId
}
