/** A store that tells of each write before it happens: tests count the steps of a command, and stop it (or the process) at any of them. */
import type { Objects, StagedObject } from '../../src/storage/index.ts'

export interface WriteStep {
  readonly kind: 'put' | 'putIfAbsent' | 'delete' | 'copy' | 'stage' | 'publish' | 'discard'
  readonly path: string
}

type Told = (step: WriteStep) => Promise<void> | void

/** What `before` throws the operation rejects with, and the store is left as it was. `after` is told of steps that were done. */
export function watchedObjects(objects: Objects, before: Told, after: Told = () => undefined): Objects {
  const watched = async <T>(step: WriteStep, work: () => Promise<T>): Promise<T> => {
    await before(step)
    const answer = await work()
    await after(step)
    return answer
  }
  return {
    capabilities: objects.capabilities,
    get: (path) => objects.get(path),
    getRange: (path, start, end) => objects.getRange(path, start, end),
    head: (path) => objects.head(path),
    list: (prefix, options) => objects.list(prefix, options),
    localFile: (path) => objects.localFile(path),
    hold: () => objects.hold(),
    uri: (path) => objects.uri(path),
    pathOf: (uri) => objects.pathOf(uri),
    close: () => objects.close(),
    put: (path, bytes) => watched({ kind: 'put', path }, () => objects.put(path, bytes)),
    putIfAbsent: (path, bytes) => watched({ kind: 'putIfAbsent', path }, () => objects.putIfAbsent(path, bytes)),
    delete: (path) => watched({ kind: 'delete', path }, () => objects.delete(path)),
    copy: (from, to) => watched({ kind: 'copy', path: to }, () => objects.copy(from, to)),
    stage: (path) =>
      watched({ kind: 'stage', path }, async (): Promise<StagedObject> => {
        const staged = await objects.stage(path)
        return {
          file: staged.file,
          publish: () => watched({ kind: 'publish', path }, () => staged.publish()),
          discard: () => watched({ kind: 'discard', path }, () => staged.discard()),
        }
      }),
  }
}
