/** A proxy in front of a real S3 server that spoils what it carries, as networks and lesser stores do. */
import { createHash, createHmac } from 'node:crypto'
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http'
import { afterAll } from 'vitest'
import type { S3Server } from './s3.ts'

export interface Carried {
  readonly method: string
  /** With its query, percent-encoded. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
}

/** What happens to a request; `pass` when absent. */
export type Fate =
  | 'pass'
  /** The server never sees it: 503. */
  | 'busy'
  /** The server never sees it: the connection is cut. */
  | 'cut'
  /** The server carries it out, and the answer is lost with the connection. */
  | 'lose-answer'
  /** The connection is cut after half of the answer's body. */
  | 'half'
  /** The answer stops after half of its body, and the connection stays. */
  | 'stall'
  /** Carried out as if it had no condition. */
  | 'without-condition'
  | { readonly answer: number; readonly code: string }

export interface S3Proxy {
  /** The server as seen through the proxy. */
  readonly server: S3Server
  readonly seen: readonly Carried[]
  /** From now on; `pass` to let everything through. */
  fate(decide: (request: Carried) => Fate | Promise<Fate>): void
}

const closers = new Set<() => void>()
afterAll(() => {
  for (const close of closers) close()
})

export async function startProxy(target: S3Server): Promise<S3Proxy> {
  let decide: (request: Carried) => Fate | Promise<Fate> = () => 'pass'
  const seen: Carried[] = []
  const server = createServer((incoming, outgoing) => {
    void (async () => {
      const carried = { method: incoming.method ?? 'GET', path: incoming.url ?? '/', headers: headersOf(incoming) }
      const body = await bodyOf(incoming)
      seen.push(carried)
      const fate = await decide(carried)
      if (fate === 'cut') incoming.socket.destroy()
      else if (fate === 'busy') refuse(outgoing, 503, 'SlowDown')
      else if (typeof fate === 'object') refuse(outgoing, fate.answer, fate.code)
      else forward(target, carried, body, fate, outgoing)
    })()
  })
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready))
  closers.add(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    server: { ...target, port, endpoint: `http://127.0.0.1:${port}` },
    seen,
    fate: (how) => (decide = how),
  }
}

function forward(target: S3Server, carried: Carried, body: Buffer, fate: Fate, outgoing: ServerResponse): void {
  const headers = fate === 'without-condition' ? withoutCondition(target, carried) : carried.headers
  const onward = request({ host: '127.0.0.1', port: target.port, method: carried.method, path: carried.path, headers }, (answer) => {
    void bodyOf(answer).then((bytes) => {
      if (fate === 'lose-answer') return outgoing.destroy()
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      if (fate !== 'half' && fate !== 'stall') return outgoing.end(bytes)
      return outgoing.write(bytes.subarray(0, bytes.length / 2), () => {
        if (fate === 'half') outgoing.destroy()
      })
    })
  })
  onward.on('error', () => outgoing.destroy())
  onward.end(body)
}

function refuse(outgoing: ServerResponse, status: number, code: string): void {
  outgoing.writeHead(status, { 'content-type': 'application/xml' })
  outgoing.end(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>said by the proxy</Message></Error>`)
}

/** The header is signed, so a request without it needs a signature of its own (AWS Signature Version 4). */
function withoutCondition({ accessKeyId, secretAccessKey, region }: S3Server, { method, path, headers }: Carried): Record<string, string> {
  const time = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')
  const day = time.slice(0, 8)
  const kept: Record<string, string> = { ...headers, 'x-amz-date': time, 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' }
  delete kept['if-none-match']
  delete kept.authorization
  const signed = Object.keys(kept)
    .filter((name) => name === 'host' || name.startsWith('x-amz-'))
    .sort()
  const [resource = '', query = ''] = path.split('?')
  const canonical = [
    method,
    resource,
    query.split('&').sort().join('&'),
    ...signed.map((name) => `${name}:${kept[name]?.trim() ?? ''}`),
    '',
    signed.join(';'),
    'UNSIGNED-PAYLOAD',
  ].join('\n')
  const scope = `${day}/${region}/s3/aws4_request`
  const toSign = ['AWS4-HMAC-SHA256', time, scope, createHash('sha256').update(canonical).digest('hex')].join('\n')
  const key = [day, region, 's3', 'aws4_request'].reduce<Buffer>(
    (before, part) => createHmac('sha256', before).update(part).digest(),
    Buffer.from(`AWS4${secretAccessKey}`),
  )
  const signature = createHmac('sha256', key).update(toSign).digest('hex')
  return { ...kept, authorization: `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${signed.join(';')}, Signature=${signature}` }
}

function headersOf(incoming: IncomingMessage): Record<string, string> {
  return Object.fromEntries(Object.entries(incoming.headers).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])))
}

async function bodyOf(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}
