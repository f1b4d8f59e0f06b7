/**
 * Shallow clone: a new table whose log names the data files of another one where they lie. Nothing is copied; what is written to the
 * clone goes into the clone's own folder. The clone needs every file of the version it was made of, so that version is pinned in the
 * source, durably and before the clone appears.
 */
import { createHash, randomUUID } from 'node:crypto'
import { LagoaError, conflict, invalid, missing } from '../../base/index.ts'
import type { AddFile } from './actions.ts'
import { vectorFile, type DeletionVector } from './deletions.ts'
import { openHead, versionAt } from './head.ts'
import { existing, makeTable, type Table } from './operations.ts'
import { dataPath, isAddress, logFolder, loggedAddress } from './paths.ts'
import { pin, pinsOf, unpin } from './pins.ts'
import { checkWritable } from './protocol.ts'
import { checkThere } from './restore.ts'
import type { TableState } from './replay.ts'
import type { CloneOptions, CommitResult, Place } from './types.ts'

export async function shallowClone(source: Table, target: string, options: CloneOptions): Promise<CommitResult> {
  const { place, root } = source
  const newest = await existing(source)
  const version =
    options.at === undefined ? newest.version : 'version' in options.at ? options.at.version : await versionAt(place, root, options.at.timestamp, newest)
  const state = version === null || version === newest.version ? newest : await source.head.at(version)
  if (state === null) throw missing('lake.table_missing', `There is no table at ${root}`)
  if (target === root || target.startsWith(`${root}/`))
    throw invalid('lake.bad_clone', `The clone ${target} would lie within the table ${root} that it is made of`, { hint: 'Give it a folder of its own.' })
  checkWritable(target, state.protocol, state.metadata, false)
  const clone: Table = { place, root: target, head: openHead(place, target) }
  if ((await clone.head.refresh()) !== null)
    throw conflict('lake.table_exists', `There already is a table at ${target}`, { hint: 'Choose another name for the clone.' })

  const files = await state.files.adds(state.files.at(state.version))
  const pins = await pinsFor(source, state, files, target)
  const placed: typeof pins = []
  let committed = false
  try {
    for (const one of pins) {
      placed.push(one)
      await pin(one.table, { id: one.id, reason: 'clone', version: one.version, holder: target }, options.signal)
    }
    await checkThere(place, root, state.version, files, options.signal)
    const adds: AddFile[] = []
    for (const file of files) adds.push(await addressed(place, root, file))
    const result = await makeTable(
      clone,
      {
        content: {
          protocol: state.protocol,
          metadata: { ...state.metadata, id: randomUUID(), createdTime: Date.now(), configuration: ownConfiguration(state) },
          domains: [...state.domains.values()],
          transactions: [],
          adds,
          removes: [],
        },
        operation: 'CLONE',
        parameters: { source: place.objects.uri(root), sourceVersion: state.version, isShallow: true },
        metrics: {
          sourceTableSize: state.bytes,
          sourceNumOfFiles: state.fileCount,
          numRemovedFiles: 0,
          numCopiedFiles: 0,
          removedFilesSize: 0,
          copiedFilesSize: 0,
        },
        blindAppend: false,
      },
      options,
    )
    committed = true
    return result
  } finally {
    // After a failure that leaves open whether the clone is there, the pins stay too; vacuum removes them when it is not.
    if (!committed && (await clone.head.refresh().catch(() => clone)) === null) for (const one of placed) await unpin(one.table, one.id)
  }
}

/** The file as any table can name it. Row ids and the like are the source's own. */
async function addressed(place: Place, root: string, file: AddFile): Promise<AddFile> {
  const { objects } = place
  const { deletionVector: vector } = file
  const placed: DeletionVector | null =
    vector === null || vector.storageType === 'i'
      ? vector
      : { ...vector, storageType: 'p', pathOrInlineDv: loggedAddress(objects, await vectorFile(place, root, file.path, vector)) }
  return { ...file, path: loggedAddress(objects, dataPath(objects, root, file.path)), dataChange: true, deletionVector: placed }
}

/** From when on commits carry their times is told by a version of the source, which means nothing to the clone: all of its commits do. */
function ownConfiguration({ metadata }: TableState): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(metadata.configuration).filter(([key]) => !key.startsWith('delta.inCommitTimestampEnablement')))
}

interface ClonePin {
  readonly table: Table
  readonly version: number
  readonly id: string
}

/** The source's version, and when the source is a clone itself, the versions of other tables that it lives on. */
async function pinsFor(source: Table, state: TableState, files: readonly AddFile[], target: string): Promise<ClonePin[]> {
  const { place, root } = source
  const id = `clone-${createHash('sha256').update(target).digest('hex').slice(0, 16)}`
  const pins: ClonePin[] = [{ table: source, version: state.version, id }]
  const others = new Set<string>()
  const homes = new Map<string, string | null>()
  for (const { path } of files) {
    if (!isAddress(path)) continue
    const object = dataPath(place.objects, root, path)
    const home = await homeOf(place, object, homes)
    if (home === null) throw ofUnknownHome(root, object)
    if (home !== root) others.add(home)
  }
  for (const other of others) {
    const held = (await pinsOf(place, other)).filter(({ holder }) => holder === root)
    if (held.length === 0) throw ofUnknownHome(root, other)
    for (const { version } of held) pins.push({ table: { place, root: other, head: openHead(place, other) }, version, id: `${id}-${version}` })
  }
  return pins
}

function ofUnknownHome(root: string, what: string): LagoaError {
  return invalid('lake.bad_clone', `Table ${root} is a clone that holds no pin on ${what}: a vacuum there could take files from a clone of it`, {
    hint: 'Clone the table that it was made of instead.',
  })
}

/** The nearest folder above a data file that is a table. */
async function homeOf(place: Place, object: string, known: Map<string, string | null>): Promise<string | null> {
  const folder = object.slice(0, Math.max(0, object.lastIndexOf('/')))
  if (folder === '') return null
  const before = known.get(folder)
  if (before !== undefined) return before
  let home: string | null = null
  for await (const _ of place.objects.list(logFolder(folder))) {
    home = folder
    break
  }
  home ??= await homeOf(place, folder, known)
  known.set(folder, home)
  return home
}
