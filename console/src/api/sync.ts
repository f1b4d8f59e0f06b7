/** Keeps cached answers true with the event stream: small facts are patched in place, larger ones are fetched again. */
import type { QueryClient } from '@tanstack/react-query'
import type { EventHub } from './events.ts'
import { systemQuery } from './queries.ts'
import type { LiveMessage } from './types.ts'

export function syncCache(client: QueryClient, hub: EventHub): () => void {
  // Tables and alerts can change many times a second; the lists are read again at most every other second.
  const due = new Set<string>()
  let timer: number | undefined
  const later = (key: string): void => {
    due.add(key)
    timer ??= window.setTimeout(() => {
      timer = undefined
      const keys = [...due]
      due.clear()
      for (const each of keys) void client.invalidateQueries({ queryKey: [each] })
    }, 2_000)
  }

  const stop = hub.subscribe({
    streams: [],
    onMessage(message: LiveMessage) {
      if (message.reloaded === true) void client.invalidateQueries()
      const { memoryBytes, services } = message
      if (memoryBytes !== undefined || services !== undefined)
        client.setQueryData(systemQuery.queryKey, (old) =>
          old === undefined ? old : { ...old, ...(memoryBytes === undefined ? {} : { memoryBytes }), ...(services === undefined ? {} : { services }) },
        )
      if (message.alerts !== undefined) for (const key of ['alerts', 'rules', 'overview']) later(key)
      if (message.tables !== undefined) {
        later('tables')
        for (const each of message.tables)
          void client.invalidateQueries({
            queryKey: ['table', each.name],
            predicate: (query) => query.queryKey[2] === undefined || query.queryKey[2] === 'history',
          })
      }
    },
    onGap() {
      void client.invalidateQueries()
    },
  })
  return () => {
    stop()
    window.clearTimeout(timer)
  }
}
