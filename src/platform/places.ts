/**
 * Tables by their place, as people type it: a name of the project, `bucket/key`, an address (`s3://bucket/key`, `file:///path`) or the path
 * of a folder. What lies outside of the object store is opened to be read only, and only where that is allowed.
 */
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { denied, invalid, missing, unsupported } from '../base/index.ts'
import { openDuck, openTable, type DeltaTable, type Duck, type Lake } from '../lake/index.ts'
import type { PlacedTable } from '../query/index.ts'
import { openFolderObjects, type Objects } from '../storage/index.ts'

export interface Places {
  readonly objects: Objects
  readonly duck: Duck
  readonly lake: Lake | null
}

export async function openPlaced({ objects, duck, lake }: Places, text: string, { outside }: { readonly outside: boolean }): Promise<PlacedTable> {
  const inside = (table: DeltaTable): PlacedTable => ({ table, outside: null, close: () => Promise.resolve() })
  const folder = localFolder(text)
  if (folder === null && !isAddress(text)) {
    if (lake !== null && !text.includes('/')) return inside(lake.table(text))
    return inside(openTable({ objects, duck }, text.replace(/\/+$/, '')))
  }
  const root = objects.pathOf(folder === null ? text.replace(/\/+$/, '') : pathToFileURL(folder).href)
  if (root !== null) return inside(openTable({ objects, duck }, root))
  if (folder === null)
    throw unsupported('lake.foreign_address', `${text} lies outside of this project's object store`, {
      hint: `Tables here have addresses such as ${objects.uri('silver/readings')}. Set objects in lagoa.config.ts to the store that holds it.`,
    })
  if (!outside)
    throw denied('query.outside_place', `${text} lies outside of this project's object store`, {
      hint: 'A server reads tables of its store only; on the command line, `lagoa sql` reads folders as well.',
    })
  return openFolderTable(folder, duck)
}

/** The folder that a text means; null when it means an object or a name. */
export function localFolder(text: string): string | null {
  if (/^file:/i.test(text)) return folderAt(text)
  if (text === '~' || text.startsWith('~/')) return resolve(homedir(), text.slice(2))
  return isAbsolute(text) || /^\.{1,2}(?:\/|$)/.test(text) ? resolve(text) : null
}

function folderAt(address: string): string {
  try {
    return fileURLToPath(address.replace(/^file:\/+/i, 'file:///')).replace(/(.)\/+$/, '$1')
  } catch (cause) {
    throw invalid('lake.bad_address', `${address} is no address of a folder`, { hint: 'Write file:///path/of/the/table, or the path alone.', cause })
  }
}

function isAddress(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text)
}

async function openFolderTable(folder: string, duck: Duck): Promise<PlacedTable> {
  const parent = dirname(folder)
  if (parent === folder || !(await stat(folder).catch(() => null))?.isDirectory())
    throw missing('lake.table_missing', `There is no folder ${folder}`, { hint: 'Check the spelling of the path.' })
  // The folder above it is opened, so that the table has a name there.
  const objects = await openFolderObjects(parent, { readOnly: true })
  return { table: openTable({ objects, duck }, basename(folder)), outside: parent, close: () => objects.close() }
}

/** A table in a folder, without a project or its engines. */
export async function openOutside(folder: string): Promise<PlacedTable> {
  const scratch = await mkdtemp(join(tmpdir(), 'lagoa-table-'))
  const remove = (): Promise<void> => rm(scratch, { recursive: true, force: true })
  try {
    const duck = await openDuck({ tempDirectory: scratch })
    try {
      const placed = await openFolderTable(folder, duck)
      return {
        ...placed,
        close: async () => {
          await placed.close()
          await duck.close()
          await remove()
        },
      }
    } catch (error) {
      await duck.close()
      throw error
    }
  } catch (error) {
    await remove()
    throw error
  }
}
