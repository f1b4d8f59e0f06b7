/** A store that tells of each write before it happens: tests count the steps of a command, and stop it (or the process) at any of them. */
import type { Objects, StagedObject } from '../../src/storage/index.ts'

export interface WriteStep {
  readonly kind: 'put' | 'putIfAbsent' | 'delete' | 'copy' | 'stage' | 'publish' | 'discard'
  readonly path: string
}

/** What `before` throws the operation rejects with, and the store is left as it was. */
export function watchedObjects(objects: Objects, before: (step: WriteStep) => Promise<void> | void): Objects {
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
    async put(path, bytes) {
      await before({ kind: 'put', path })
      await objects.put(path, bytes)
    },
    async putIfAbsent(path, bytes) {
      await before({ kind: 'putIfAbsent', path })
      return objects.putIfAbsent(path, bytes)
    },
    async delete(path) {
      await before({ kind: 'delete', path })
      await objects.delete(path)
    },
    async copy(from, to) {
      await before({ kind: 'copy', path: to })
      await objects.copy(from, to)
    },
    async stage(path): Promise<StagedObject> {
      await before({ kind: 'stage', path })
      const staged = await objects.stage(path)
      return {
        file: staged.file,
        async publish() {
          await before({ kind: 'publish', path })
          return staged.publish()
        },
        async discard() {
          await before({ kind: 'discard', path })
          await staged.discard()
        },
      }
    },
  }
}
