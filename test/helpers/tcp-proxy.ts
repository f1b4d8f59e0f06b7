/** A proxy in front of any server that speaks TCP: it carries bytes, holds them up, or cuts every connection, as networks do. */
import { connect, createServer, type Socket } from 'node:net'
import { afterAll } from 'vitest'

export interface TcpProxy {
  readonly port: number
  /** From now on bytes go to this port of the loopback address. */
  to(port: number): void
  /** Carries what was held up, and goes on. */
  pass(): void
  /** Connections stay open and are accepted; nothing is carried in either direction. */
  stall(): void
  /** Connections break, and new ones are ended at once. */
  cut(): void
  close(): void
}

const opened = new Set<TcpProxy>()
afterAll(() => {
  for (const proxy of opened) proxy.close()
})

export async function startTcpProxy(): Promise<TcpProxy> {
  let target = 0
  let state: 'passing' | 'stalled' | 'cut' = 'passing'
  const pairs = new Set<readonly [Socket, Socket]>()
  /** Came while nothing was carried. */
  const waiting = new Set<Socket>()

  const join = (client: Socket): void => {
    const server = connect(target, '127.0.0.1')
    const pair = [client, server] as const
    pairs.add(pair)
    const end = (): void => {
      pairs.delete(pair)
      client.destroy()
      server.destroy()
    }
    for (const [from, to] of [pair, [server, client] as const]) {
      from.setNoDelay(true)
      from.on('data', (bytes: Buffer) => {
        if (!to.write(bytes)) from.pause()
      })
      to.on('drain', () => {
        if (state === 'passing') from.resume()
      })
      from.on('end', () => to.end())
      from.on('error', end)
      from.on('close', end)
    }
    client.resume()
  }
  const dropAll = (): void => {
    for (const [client, server] of pairs) {
      client.destroy()
      server.destroy()
    }
    for (const client of waiting) client.destroy()
    pairs.clear()
    waiting.clear()
  }

  const listener = createServer({ pauseOnConnect: true }, (client) => {
    client.on('error', () => client.destroy())
    if (state === 'cut') client.destroy()
    else if (state === 'stalled') {
      waiting.add(client)
      client.once('close', () => waiting.delete(client))
    } else join(client)
  })
  await new Promise<void>((ready) => listener.listen(0, '127.0.0.1', ready))
  const address = listener.address()
  const proxy: TcpProxy = {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    to: (port) => (target = port),
    pass() {
      state = 'passing'
      for (const pair of pairs) for (const socket of pair) socket.resume()
      for (const client of waiting) join(client)
      waiting.clear()
    },
    stall() {
      state = 'stalled'
      for (const pair of pairs) for (const socket of pair) socket.pause()
    },
    cut() {
      state = 'cut'
      dropAll()
    },
    close() {
      opened.delete(proxy)
      state = 'cut'
      dropAll()
      listener.close()
    },
  }
  opened.add(proxy)
  return proxy
}
