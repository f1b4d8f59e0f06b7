/** The words, names, numbers, texts and signs of a Spark SQL expression. */

export interface Token {
  /** `name` is a name in backticks, which is never a keyword. */
  readonly kind: 'word' | 'name' | 'number' | 'text' | 'operator'
  readonly text: string
}

const PATTERNS: readonly (readonly [Token['kind'] | 'space', RegExp])[] = [
  ['space', /\s+/y],
  ['number', /(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?(?:bd|[lsydf])?(?!\w)/iy],
  ['word', /[a-z_]\w*/iy],
  ['name', /`(?:[^`]|``)+`/y],
  ['text', /'(?:[^'\\]|\\[^])*'|"(?:[^"\\]|\\[^])*"/y],
  ['operator', /<=>|<=|>=|<>|!=|==|\|\||[-+*/%(),.[\]=<>!]/y],
]

/** The tokens of an expression, or the name of what is none. */
export function tokensOf(text: string): Token[] | string {
  const tokens: Token[] = []
  for (let at = 0; at < text.length;) {
    if (text.startsWith('--', at) || text.startsWith('/*', at)) return 'a comment'
    const found = PATTERNS.map(([kind, pattern]) => {
      pattern.lastIndex = at
      return { kind, text: pattern.exec(text)?.[0] ?? '' }
    }).find((one) => one.text !== '')
    if (!found) return `the character ${text.slice(at, at + 1)}`
    at += found.text.length
    if (found.kind === 'space') continue
    if (found.kind === 'text') {
      const value = unescaped(found.text.slice(1, -1))
      if (value === null) return `the text ${found.text} with such an escape`
      tokens.push({ kind: 'text', text: value })
    } else {
      tokens.push({ kind: found.kind, text: found.kind === 'name' ? found.text.slice(1, -1).replaceAll('``', '`') : found.text })
    }
  }
  return tokens
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '\\': '\\', "'": "'", '"': '"', '%': '\\%', _: '\\_' }

/** `\%` and `\_` keep their backslash, for LIKE; null for escapes that engines read differently. */
function unescaped(text: string): string | null {
  let known = true
  const value = text.replace(/\\([^])/g, (_, char: string) => {
    const stands = ESCAPES[char]
    if (stands === undefined) known = false
    return stands ?? ''
  })
  return known ? value : null
}
