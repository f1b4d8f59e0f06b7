/** A large text as people write it: words by Zipf's law, sentences, capitals, accents, apostrophes. The same for the same size. */
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'

const VOCABULARY = 200_000
/** Ranks are drawn from a table. */
const TABLE = 1 << 20
const BLOCK = 4 * 1024 * 1024
const SYLLABLES = ['ba', 'co', 'di', 'fu', 'ga', 'lho', 'ma', 'ne', 'pi', 'ra', 'sé', 'ção', 'to', 'u', 'vi', 'xa', 'ze', 'nhã', 'que', 'st']

/** The word of a rank: the more often it is used, the shorter. */
function wordAt(rank: number): string {
  let text = ''
  for (let left = rank + 1; left > 0; left = Math.floor(left / SYLLABLES.length)) text += SYLLABLES[left % SYLLABLES.length] ?? ''
  return rank % 50 === 49 ? `d'${text}` : text
}

export async function writeWords(file: string, bytes: number): Promise<void> {
  // All forms of all words, one behind the other: a word costs a look and a copy of some bytes.
  const forms = Array.from({ length: VOCABULARY }, (_, rank) => {
    const word = wordAt(rank)
    return [`${word} `, `${word}, `, `${word}.\n`, `${word.slice(0, 1).toUpperCase()}${word.slice(1)} `]
  })
    .flat()
    .map((form) => Buffer.from(form))
  const pool = Buffer.concat(forms)
  const starts = new Uint32Array(forms.length + 1)
  for (const [place, form] of forms.entries()) starts[place + 1] = (starts[place] ?? 0) + form.length
  let sum = 0
  const shares = Array.from({ length: VOCABULARY }, (_, rank) => (sum += 1 / (rank + 2.7)))
  const ranks = new Uint32Array(TABLE)
  for (let place = 0, rank = 0; place < TABLE; place++) {
    while ((shares[rank] ?? sum) < ((place + 0.5) / TABLE) * sum) rank++
    ranks[place] = rank
  }
  const out = createWriteStream(file)
  let state = 0x2545f491
  let isFirst = true
  for (let written = 0; written < bytes;) {
    const block = Buffer.allocUnsafe(BLOCK)
    let at = 0
    while (at < BLOCK - 128) {
      // xorshift32
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      const kind = (state >>> 20) % 16
      const place = state & (TABLE - 1)
      // The tail of the vocabulary is drawn evenly, so that rare words are many.
      const rank = kind === 7 && place < TABLE / 8 ? (Math.imul(state, 0x9e3779b1) >>> 0) % VOCABULARY : (ranks[place] ?? 0)
      const form = rank * 4 + (isFirst ? 3 : kind === 0 ? 2 : kind < 3 ? 1 : 0)
      const end = starts[form + 1] ?? 0
      for (let from = starts[form] ?? 0; from < end; from++) block[at++] = pool[from] ?? 0
      isFirst = kind === 0 && !isFirst
    }
    written += at
    if (!out.write(block.subarray(0, at))) await once(out, 'drain')
  }
  out.end()
  await once(out, 'close')
}
