/** Keeps cached answers true with the event stream: small facts are patched in place, larger ones are fetched again. */
import type { QueryClient, QueryKey } from '@tanstack/react-query'
import type { EventHub } from './events.ts'
import { systemQuery } from './queries.ts'
import type { LiveMessage } from './types.ts'

export function syncCache(client: QueryClient, hub: EventHub): () => void {
  // Tables, alerts and runs can change many times a second; what shows them is read again at most every so often.
  const lists = gatherer(client, 2_000)
  const pages = gatherer(client, 700)
  const later = lists.add

  const stop = hub.subscribe({
    streams: [],
    onMessage(message: LiveMessage) {
      if (message.reloaded === true) void client.invalidateQueries()
      const { memoryBytes, services } = message
      if (memoryBytes !== undefined || services !== undefined)
        client.setQueryData(systemQuery.queryKey, (old) =>
          old === undefined ? old : { ...old, ...(memoryBytes === undefined ? {} : { memoryBytes }), ...(services === undefined ? {} : { services }) },
        )
      if (message.runs !== undefined) {
        for (const id of message.runs) pages.add(['run', id])
        for (const key of ['runs', 'flows', 'workloads', 'backfills']) later([key])
      }
      if (message.alerts !== undefined) for (const key of ['alerts', 'rules', 'overview']) later([key])
      if (message.tables !== undefined) {
        later(['tables'])
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
    lists.close()
    pages.close()
  }
}

/** Who has gone so far down a list looks at what was; it is not fetched whole, again and again. */
const renewedPages = 3

function gatherer(client: QueryClient, ms: number): { add: (key: QueryKey) => void; close: () => void } {
  const due = new Map<string, QueryKey>()
  let timer: number | undefined
  return {
    add(key) {
      due.set(JSON.stringify(key), key)
      timer ??= window.setTimeout(() => {
        timer = undefined
        const keys = [...due.values()]
        due.clear()
        for (const queryKey of keys) void client.invalidateQueries({ queryKey, predicate: ({ state }) => pagesOf(state.data) <= renewedPages })
      }, ms)
    },
    close: () => window.clearTimeout(timer),
  }
}

const pagesOf = (data: unknown): number => (typeof data === 'object' && data !== null && 'pages' in data && Array.isArray(data.pages) ? data.pages.length : 0)
