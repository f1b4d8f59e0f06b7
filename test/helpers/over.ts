/**
 * What a helper does when its test file is over. Outside of tests nobody says so by itself: a benchmark calls `endAll`.
 */
type Work = () => void | Promise<void>

const works: Work[] = []

export const afterAll: (work: Work) => void = process.env.VITEST === undefined ? (work) => void works.push(work) : (await import('vitest')).afterAll

/** Ends what was begun last first. */
export async function endAll(): Promise<void> {
  for (const work of works.splice(0).reverse()) await work()
}
