/** Names of columns as a Delta table and plain SQL take them. */
import { FILE_FIELDS } from './declare.ts'

/** ` ,;{}()` and white space cannot stand in a column of a Parquet file; a dot means "inside" to Spark; quotes would have to be doubled everywhere. */
const TROUBLE = /[\s,;{}()=."'`\p{Cc}]+/gu

/** The names, each usable and each once without regard to case, in their order. Equal names get a number. */
export function cleanNames(names: readonly string[]): string[] {
  const taken = new Set(Object.keys(FILE_FIELDS))
  return names.map((name, index) => {
    const clean = usable(name) ? name : name.replaceAll(TROUBLE, '_').replaceAll(/^_+|_+$/g, '') || `column${index}`
    let free = clean
    for (let number = 1; taken.has(free.toLowerCase()); number++) free = `${clean}_${number}`
    taken.add(free.toLowerCase())
    return free
  })
}

export const usable = (name: string): boolean => name !== '' && name.search(TROUBLE) === -1
