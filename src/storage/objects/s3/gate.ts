/** Lets at most so many pieces of work run at once; the others wait in their order. */
export type Gate = <T>(work: () => Promise<T>) => Promise<T>

export function createGate(most: number): Gate {
  let running = 0
  const waiting: (() => void)[] = []
  return async (work) => {
    if (running >= most) await new Promise<void>((start) => waiting.push(start))
    else running++
    try {
      return await work()
    } finally {
      // The place is handed on, so that nobody who comes now takes it first.
      const next = waiting.shift()
      if (next) next()
      else running--
    }
  }
}
