/**
 * Counting words. A word is a longest run of letters, marks and digits of any script, in which single apostrophes may stand (`don't`, `d’água`);
 * everything else divides words, the hyphen too. Words are counted without regard to case, and `é` is the same written as one character or as
 * two (NFC).
 */
import { invalid, missing } from '../base/index.ts'
import { quoteName, quoteText } from '../lake/index.ts'

const WORD = `[\\p{L}\\p{M}\\p{N}]+(?:['’][\\p{L}\\p{M}\\p{N}]+)*`

/**
 * SQL that yields `word` and `count`, the largest first, of a relation with the text column `line`.
 *
 * Finding words costs most, then folding case and form. Cutting at spaces is cheap and cuts no word, and most pieces come again and again: so
 * words are looked for in each different piece once, and folded once for each different word.
 */
export function wordCountSql(lines: string, top: number | null): string {
  return `
    select nfc_normalize(lower(word)) as word, sum(n)::bigint as count from (
      select unnest(regexp_extract_all(piece, ${quoteText(WORD)})) as word, n from (
        select piece, count(*) as n from (select unnest(string_split(line, ' ')) as piece from (${lines})) group by piece
      )
    ) group by all order by count desc, word${top === null ? '' : ` limit ${top}`}`
}

/** One column of a relation as text, nulls left out. */
export const columnLines = (relation: string, column: string): string =>
  `select ${quoteName(column)}::varchar as line from (${relation}) where ${quoteName(column)} is not null`

/** The engine takes sixteen times as much memory to read lines that may be this long. */
const LONGEST_LINE = 8_388_608

/** Lines of a text file, whatever stands in them; none may have more than 8 MiB. */
export const fileLines = (file: string): string =>
  `select line from read_csv(${quoteText(file)}, columns = {'line': 'VARCHAR'}, header = false, auto_detect = false, delim = '', quote = '', escape = '', strict_mode = false, max_line_size = ${LONGEST_LINE})`

/** Where the text lies: a table by its name, with a project in front or without, or an object. */
export function sourceOf(source: string, tables: readonly string[]): { readonly table: string } | { readonly object: string } {
  if (source.includes('/')) return { object: source }
  const parts = source.split('.')
  const name = parts.length === 3 ? parts.slice(1).join('.') : source
  if (tables.includes(name)) return { table: name }
  if (parts.length < 2)
    throw invalid('workloads.source', `"${source}" names neither a table nor an object`, {
      hint: 'Write schema.table, project.schema.table, or bucket/key of a text.',
    })
  throw missing('lake.no_table', `There is no table ${name}`, {
    hint: tables.length > 0 ? `There are: ${tables.slice(0, 10).join(', ')}.` : 'See lagoa tables.',
  })
}
