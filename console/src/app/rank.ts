/** Things whose label holds the typed letters in order: a prefix first, then a word's start, then inside, then scattered. */
export function rank<T extends { readonly label: string }>(things: readonly T[], typed: string): T[] {
  const wanted = fold(typed.trim())
  if (wanted === '') return [...things]
  return things
    .map((thing, order) => ({ thing, order, score: score(fold(thing.label), wanted) }))
    .filter((each) => each.score > 0)
    .toSorted((a, b) => b.score - a.score || a.order - b.order)
    .map((each) => each.thing)
}

const fold = (text: string): string => text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase()

function score(label: string, wanted: string): number {
  const at = label.indexOf(wanted)
  if (at === 0) return 4
  if (at > 0) return /[\W_]/.test(label[at - 1] ?? '') ? 3 : 2
  let next = 0
  for (const letter of label) if (letter === wanted[next]) next++
  return next === wanted.length ? 1 : 0
}
