/** Text of a condition -> syntax tree, with errors that show the place. */
import { Environment, ParseError, type ASTNode } from '@marcbachmann/cel-js'
import { invalid, LagoaError, type ErrorKind } from '../../base/index.ts'

export type { ASTNode } from '@marcbachmann/cel-js'

/** Which condition of which rule is being read; every error names it. Without a rule it is a filter. */
export interface Place {
  readonly rule: string | null
  readonly part: 'when' | 'clear'
  readonly text: string
}

const LONGEST = 10_000

const environment = new Environment({
  unlistedVariablesAreDyn: true,
  homogeneousAggregateLiterals: false,
  limits: { maxAstNodes: 2_000, maxDepth: 100, maxListElements: 1_000, maxCallArguments: 8 },
})

export function parseCondition(place: Place): ASTNode {
  if (place.text.length > LONGEST) {
    throw invalid('alerts.cel_syntax', `${subject(place)} has ${place.text.length} characters, more than ${LONGEST}`, {
      hint: 'Split it into several rules.',
    })
  }
  if (place.text.trim() === '') {
    throw invalid('alerts.cel_syntax', `${subject(place)} is empty`, {
      hint: `Write a condition, such as ${place.rule === null ? '' : `${place.part}: `}'co > 10'.`,
    })
  }
  try {
    return environment.parse(place.text).ast
  } catch (error) {
    if (!(error instanceof ParseError)) throw error
    const start = error.range?.start ?? 0
    const what = error.code === 'unexpected_token' && start >= place.text.trimEnd().length ? 'the expression ends too early' : lowerFirst(error.summary)
    throw celError('alerts.cel_syntax', place, { start, end: error.range?.end ?? start + 1 }, what, syntaxHint(place.text, start))
  }
}

const subject = ({ rule, part }: Place): string => (rule === null ? 'The filter' : `Rule "${rule}", \`${part}\``)

/** An error that shows the expression with a mark below the place in question. */
export function celError(
  code: string,
  place: Place,
  span: { readonly start: number; readonly end: number },
  what: string,
  hint: string,
  kind: ErrorKind = 'invalid',
): LagoaError {
  return new LagoaError(kind, code, `${subject(place)}: ${what}\n${caret(place.text, span.start, span.end)}`, { hint })
}

/** The line that holds `start`, and a line with carets below it. */
function caret(text: string, start: number, end: number): string {
  const from = text.lastIndexOf('\n', start - 1) + 1
  const newline = text.indexOf('\n', start)
  const line = text.slice(from, newline < 0 ? text.length : newline)
  const width = Math.max(1, Math.min(end, from + line.length) - start)
  // Tabs stay tabs, so that the mark stands below its place however wide they are shown.
  const indent = line.slice(0, start - from).replace(/[^\t]/g, ' ')
  return `  ${line}\n  ${indent}${'^'.repeat(width)}`
}

function syntaxHint(text: string, start: number): string {
  const rest = text.slice(start)
  const before = text.slice(0, start)
  if (/^or\b/i.test(rest) || /\bor\s*$/i.test(before)) return 'Write || for "or".'
  if (/^and\b/i.test(rest) || /\band\s*$/i.test(before)) return 'Write && for "and".'
  if (/^not\b/i.test(rest) || /\bnot\s*$/i.test(before)) return 'Write ! for "not", as in !(co > 10).'
  if (rest.startsWith('=') && !rest.startsWith('==')) return 'Write == to compare.'
  if (rest.startsWith('>') && before.endsWith('<')) return 'Write != for "differs from".'
  if (rest.startsWith(',') && /\d$/.test(before)) return 'Write decimals with a point, as in 2.5.'
  if (rest.startsWith('|') || rest.startsWith('&')) return 'Write || for "or" and && for "and".'
  if (rest.startsWith("'") || rest.startsWith('"')) return 'Close the text with the quote it was opened with.'
  return 'Conditions are CEL expressions, such as co > 10 || no2 > 200.'
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}
