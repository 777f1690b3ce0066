// The peer of the benchmark: reading the configuration, delivering to a
// webhook and signing in, written in the usual way on Fastify, on all cores.
// The SQL functions are the module's own.  With LOG, a file's name, every request
// has its two lines there, as fastify's logger writes them, buffered.

import cluster from 'node:cluster'
import { createHash, randomUUID } from 'node:crypto'
import { availableParallelism } from 'node:os'
import bcrypt from 'bcrypt'
import Fastify from 'fastify'
import jwt from 'jsonwebtoken'
import pg from 'pg'
import pino from 'pino'

const { DATABASE_URL, PORT, JWT_SECRET, LOG, POOL } = process.env

if (cluster.isPrimary) {
  for (let i = 0; i < availableParallelism(); i++) cluster.fork()
  process.on('SIGTERM', () => process.exit(0))
} else {
  await serve()
}

async function serve() {
  const pool = new pg.Pool({ connectionString: DATABASE_URL, max: Number(POOL) })
  const app = Fastify(LOG
    ? { loggerInstance: pino(pino.destination({ dest: LOG, minLength: 4096, sync: false })) }
    : { logger: false })
  const config = await readConfig(pool)

  app.get('/api/config', async (request, reply) => {
    reply.header('Cache-Control', 'public, max-age=300')
    return { success: true, data: config, ...config }
  })

  app.post('/api/webhook/:id/:token', {
    schema: {
      body: {
        type: 'object',
        required: ['content'],
        properties: { content: { type: 'string', minLength: 1, maxLength: 2000 } },
      },
    },
  }, async (request, reply) => {
    const hash = createHash('sha256').update(request.params.token).digest('hex')
    const { rows } = await pool.query({
      name: 'deliver',
      text: process.env.DELIVER_SQL,
      values: [request.params.id, hash, request.body.content, request.ip, randomUUID()],
    })
    reply.code(rows[0].status)
    return { success: true, data: JSON.parse(rows[0].body) }
  })

  app.post('/api/auth/signin', async (request, reply) => {
    const { email, password } = request.body
    const found = await pool.query({
      name: 'lookup',
      text: 'SELECT user_id, password_hash FROM nchat_signin_lookup($1)',
      values: [email],
    })
    const user = found.rows[0]

    if (!user || !(await bcrypt.compare(password, user.password_hash))) {
      reply.code(401)
      return { success: false, error: 'Invalid email or password' }
    }

    const { rows } = await pool.query({
      name: 'signin',
      text: 'SELECT * FROM nchat_signin($1, $2, NULL, $3, $4, 2592000, $5, $6)',
      values: [user.user_id, user.password_hash, randomUUID(), randomUUID(), request.ip, randomUUID()],
    })
    const row = rows[0]
    const claims = { sub: row.user_id, email: row.email, role: row.role, sid: row.sid, ver: row.ver }

    return {
      success: true,
      ...JSON.parse(row.body),
      accessToken: jwt.sign({ ...claims, typ: 'access' }, JWT_SECRET, { expiresIn: '24h' }),
      refreshToken: jwt.sign({ sub: row.user_id, sid: row.sid, jti: row.jti, typ: 'refresh' }, JWT_SECRET, { expiresIn: '30d' }),
    }
  })

  await app.listen({ port: Number(PORT), host: '127.0.0.1' })
}

async function readConfig(pool) {
  const { rows } = await pool.query('SELECT version, open_doc FROM nchat_config_get()')
  return { config: JSON.parse(rows[0].open_doc), version: rows[0].version }
}
