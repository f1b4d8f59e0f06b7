/** Which tables are in the object store, whoever made them: `<layer>/<name>/_delta_log/` is table `<layer>.<name>`. */
import type { Objects } from '../storage/index.ts'

export const isTableName = (name: string): boolean => /^[a-z][a-z0-9_-]*\.[A-Za-z_][A-Za-z0-9_]*$/.test(name) && name.length <= 200

/** A look is good for this long: screens ask several times a second. */
const FRESH_MS = 2000
/** A store with more folders than this is no lake; what comes first by name is shown. */
const MOST_FOLDERS = 5000
/** Objects that lie in a bucket beside the folders are stepped over, up to this many. */
const MOST_STEPS = 50_000
/** Sorts after every path that goes on. */
const END = '\u{10ffff}'

/** Answers their names. One listing steps from folder to folder, so its cost is that of the tables and not of their files. */
export function presentTables(objects: Objects): () => Promise<string[]> {
  let looked = { at: Number.NEGATIVE_INFINITY, names: Promise.resolve<string[]>([]) }
  return () => {
    if (performance.now() - looked.at < FRESH_MS) return looked.names
    const names = look(objects)
    looked = { at: performance.now(), names }
    names.catch(() => (looked = { at: Number.NEGATIVE_INFINITY, names: Promise.resolve([]) }))
    return names
  }
}

async function look(objects: Objects): Promise<string[]> {
  const names: string[] = []
  let steps = 0
  let after = ''
  for (let folder = 0; folder < MOST_FOLDERS; folder++) {
    const next = await nextFolder(objects, after, () => ++steps > MOST_STEPS)
    if (next === null) break
    const [bucket = '', key = ''] = next.split('/')
    const name = `${bucket}.${key}`
    if (isTableName(name) && (await hasLog(objects, next))) names.push(name)
    after = `${next}/${END}`
  }
  return names
}

/** The first `bucket/folder` that holds an object after a path. */
async function nextFolder(objects: Objects, after: string, isTired: () => boolean): Promise<string | null> {
  for await (const { path } of objects.list('', after === '' ? {} : { after })) {
    const [bucket = '', key = '', ...inner] = path.split('/')
    if (inner.length > 0) return `${bucket}/${key}`
    if (isTired()) return null
  }
  return null
}

async function hasLog(objects: Objects, root: string): Promise<boolean> {
  for await (const { path } of objects.list(`${root}/_delta_log/`)) return path !== ''
  return false
}
