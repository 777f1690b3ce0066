curl -X GET http://localhost:3000/api/config?history=true \
-H "Authorization: Bearer <your-access-token>"
---
curl http://localhost:3000/api/config
---
curl -X POST http://localhost:3000/api/config \
-H "Content-Type: application/json" \
-H "Authorization: Bearer <token>" \
-d '{
"branding": {
"appName": "My Team Chat"
}
}'
