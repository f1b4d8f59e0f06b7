import { useEffect, useState } from 'react'

/** The time, renewed every `everyMs`. Browsers slow timers of hidden tabs, so a hidden screen costs nothing. */
export function useNow(everyMs = 1_000): number {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = window.setInterval(() => setNow(Date.now()), everyMs)
    return () => window.clearInterval(timer)
  }, [everyMs])
  return now
}
