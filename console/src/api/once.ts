/** A key for each request that is made in one place: the same body has the same one, so what was sent twice is done once. */
import { useCallback, useRef } from 'react'

export function useOnce(): (body: unknown) => string {
  const last = useRef<{ readonly text: string; readonly key: string }>(undefined)
  return useCallback((body) => {
    const text = JSON.stringify(body)
    if (last.current?.text !== text) last.current = { text, key: randomKey() }
    return last.current.key
  }, [])
}

/** `randomUUID` is only there on pages that came over TLS or from this machine. */
function randomKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}
