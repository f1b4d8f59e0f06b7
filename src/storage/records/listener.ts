/** NOTIFY for any number of channels over one connection that comes back by itself. */
import { backoff, type Log, systemClock } from '../../base/index.ts'
import type { RecordsSession } from './port.ts'

export interface NoticeSession extends RecordsSession {
  onNotice(callback: (channel: string, payload: string) => void): void
}

export interface Listener {
  listen(channel: string, onNotice: (payload: string) => void): Promise<() => Promise<void>>
  close(): Promise<void>
}

type Callback = (payload: string) => void

export function openListener(open: () => Promise<NoticeSession>, log: Log): Listener {
  const channels = new Map<string, Set<Callback>>()
  const closing = new AbortController()
  let current: Promise<NoticeSession> | null = null

  const call = (callback: Callback, payload: string): void => {
    try {
      callback(payload)
    } catch (error) {
      log.error('records.notice_failed', { error })
    }
  }

  const connect = async (): Promise<NoticeSession> => {
    const session = await open()
    session.onNotice((channel, payload) => {
      for (const callback of Array.from(channels.get(channel) ?? [])) call(callback, payload)
    })
    session.onLost(() => {
      current = null
      if (!closing.signal.aborted) void reconnect()
    })
    try {
      for (const channel of channels.keys()) await session.script(`listen ${quoted(channel)}`)
    } catch (error) {
      await session.close()
      throw error
    }
    return session
  }

  const session = (): Promise<NoticeSession> => {
    current ??= connect().catch((error: unknown) => {
      current = null
      throw error
    })
    return current
  }

  const reconnect = async (): Promise<void> => {
    for (let attempt = 0; channels.size > 0 && !closing.signal.aborted; attempt++) {
      try {
        await systemClock.sleep(backoff(attempt, 50, 5_000), closing.signal)
        await session()
        log.info('records.listening_again', { channels: channels.size })
        for (const callback of Array.from(channels.values(), (callbacks) => [...callbacks]).flat()) call(callback, '')
        return
      } catch (error) {
        if (!closing.signal.aborted) log.debug('records.listen_failed', { error, attempt })
      }
    }
  }

  const forget = async (channel: string, callback: Callback): Promise<void> => {
    const callbacks = channels.get(channel)
    callbacks?.delete(callback)
    if (callbacks?.size !== 0) return
    channels.delete(channel)
    // When the connection is away, or somebody listens again by now, there is nothing to take back.
    await current?.then((open) => (channels.has(channel) ? undefined : open.script(`unlisten ${quoted(channel)}`))).catch(() => undefined)
  }

  return {
    listen: async (channel, onNotice) => {
      const callback: Callback = (payload) => onNotice(payload)
      const callbacks = channels.get(channel)
      if (callbacks) callbacks.add(callback)
      else channels.set(channel, new Set([callback]))
      try {
        await (await session()).script(`listen ${quoted(channel)}`)
      } catch (error) {
        await forget(channel, callback)
        throw error
      }
      return () => forget(channel, callback)
    },
    close: async () => {
      closing.abort()
      channels.clear()
      await current?.then((open) => open.close()).catch(() => undefined)
    },
  }
}

const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`
