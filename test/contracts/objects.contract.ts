/** What every adapter of the Objects port promises; see src/storage/objects/port.ts. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newId } from '../../src/base/index.ts'
import { compareUtf8, type Objects } from '../../src/storage/index.ts'

/** `open` gives a new instance on the same place each time it is called; every test uses paths of its own below a fresh bucket. */
export function objectsContract(name: string, open: () => Promise<Objects>): void {
  describe(`objects: ${name}`, () => {
    let objects: Objects
    beforeAll(async () => {
      objects = await open()
    })
    afterAll(async () => {
      await objects.close()
    })

    test('a missing object is null to get, getRange and head', async () => {
      const path = `${bucket()}/nothing/here`
      expect(await objects.get(path)).toBeNull()
      expect(await objects.getRange(path, 0, 10)).toBeNull()
      expect(await objects.head(path)).toBeNull()
    })

    test('what put wrote is read back byte for byte, also by another instance', async () => {
      const path = `${bucket()}/folder/all-bytes`
      const bytes = Uint8Array.from({ length: 70_000 }, (_, i) => i % 256)
      const before = Date.now()
      await objects.put(path, bytes)
      expect(same(await objects.get(path), bytes)).toBe(true)
      const info = await objects.head(path)
      expect(info).toMatchObject({ path, size: bytes.length })
      expect(info?.modified).toBeGreaterThan(before - 60_000)
      const other = await open()
      expect(same(await other.get(path), bytes)).toBe(true)
      await other.close()
    })

    test('an empty object exists', async () => {
      const path = `${bucket()}/empty`
      await objects.put(path, new Uint8Array())
      expect(await objects.get(path)).toHaveLength(0)
      expect(await objects.head(path)).toMatchObject({ size: 0 })
    })

    test('put replaces', async () => {
      const path = `${bucket()}/twice`
      await objects.put(path, text('a longer first text'))
      await objects.put(path, text('second'))
      expect(await read(objects, path)).toBe('second')
    })

    test('a reader during replacements sees one version or the other, never a mixture', async () => {
      const path = `${bucket()}/replaced`
      const version = (i: number): Uint8Array => new Uint8Array(200_000).fill(i)
      await objects.put(path, version(0))
      let done = false
      const writing = (async () => {
        for (let i = 1; i <= 10; i++) await objects.put(path, version(i))
        done = true
      })()
      while (!done) {
        const bytes = await objects.get(path)
        expect(bytes).toHaveLength(200_000)
        expect(bytes?.every((byte) => byte === bytes[0])).toBe(true)
      }
      await writing
    })

    test('getRange answers [start, end), and fewer bytes where the object ends', async () => {
      const path = `${bucket()}/range`
      await objects.put(path, text('0123456789'))
      const range = async (start: number, end: number): Promise<string> => Buffer.from((await objects.getRange(path, start, end)) ?? []).toString()
      expect(await range(2, 5)).toBe('234')
      expect(await range(0, 10)).toBe('0123456789')
      expect(await range(8, 100)).toBe('89')
      expect(await range(10, 20)).toBe('')
      expect(await range(50, 60)).toBe('')
      expect(await range(3, 3)).toBe('')
    })

    test('putIfAbsent writes once and leaves the first bytes alone', async () => {
      const path = `${bucket()}/_delta_log/00000000000000000000.json`
      expect(await objects.putIfAbsent(path, text('first'))).toBe(true)
      expect(await objects.putIfAbsent(path, text('second'))).toBe(false)
      expect(await read(objects, path)).toBe('first')
    })

    test('of many concurrent putIfAbsent, over two instances, exactly one wins and its bytes stay', async () => {
      const other = await open()
      const at = bucket()
      for (let round = 0; round < 5; round++) {
        const path = `${at}/contended/${round}`
        const results = await Promise.all(Array.from({ length: 20 }, (_, i) => (i % 2 ? objects : other).putIfAbsent(path, text(`writer ${i}`))))
        const winners = results.flatMap((won, i) => (won ? [i] : []))
        expect(winners).toHaveLength(1)
        expect(await read(objects, path)).toBe(`writer ${winners[0]}`)
      }
      await other.close()
    })

    test('after delete the object is gone and can be put if absent again; deleting nothing is no error', async () => {
      const path = `${bucket()}/a/b/c`
      await objects.putIfAbsent(path, text('x'))
      await objects.delete(path)
      await objects.delete(path)
      await objects.delete(`${bucket()}/never/there`)
      expect(await objects.get(path)).toBeNull()
      expect(await objects.putIfAbsent(path, text('y'))).toBe(true)
    })

    test('list yields the objects below a prefix in UTF-8 byte order', async () => {
      const at = bucket()
      const names = ['a/b', 'a-b', 'a.txt', 'a/b.txt', 'a/c/d', 'a0', 'B', 'é', 'z', '\u{1F600}', '\uFB01', '10', '9', 'a b', 'a/', 'a/c-d']
        .filter((name) => !name.endsWith('/'))
        .map((name) => `${at}/${name}`)
      for (const path of names) await objects.put(path, text('x'))
      expect(await paths(objects, `${at}/`)).toEqual([...names].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))))
      expect(await paths(objects, `${at}/a/`)).toEqual([`${at}/a/b`, `${at}/a/b.txt`, `${at}/a/c-d`, `${at}/a/c/d`])
      expect(await paths(objects, `${at}/a/b`)).toEqual([`${at}/a/b`, `${at}/a/b.txt`])
      expect(await paths(objects, at.slice(0, -2))).toHaveLength(names.length)
      expect(await paths(objects, `${at}/nothing`)).toEqual([])
      expect(await paths(objects, `${at}/nothing/below/`)).toEqual([])
    })

    test('list goes on after a path, whether or not it exists', async () => {
      const at = bucket()
      const names = ['a/1', 'a/2', 'a/3/x', 'a/3/y', 'b'].map((name) => `${at}/${name}`)
      for (const path of names) await objects.put(path, text('x'))
      for (const after of [...names, `${at}/a/25`, `${at}/a/3/`, `${at}/a/3`, `${at}/a`, `${at}/a/3/xx`, `${at}/c`, '']) {
        const expected = names.filter((path) => compareUtf8(path, after) > 0)
        expect(await paths(objects, `${at}/`, after)).toEqual(expected)
      }
    })

    test('list tells sizes, and stops early without complaint', async () => {
      const at = bucket()
      for (let i = 0; i < 150; i++) await objects.put(`${at}/n/${String(i).padStart(3, '0')}`, new Uint8Array(i))
      const sizes: number[] = []
      for await (const info of objects.list(`${at}/n/`)) {
        sizes.push(info.size)
        if (sizes.length === 100) break
      }
      expect(sizes).toEqual(Array.from({ length: 100 }, (_, i) => i))
    })

    test('paths that could leave the store or collide with its own files are refused', async () => {
      for (const path of [
        '',
        'nobucket',
        '/etc/passwd',
        'a/../b',
        '../a/b',
        'a/..',
        'a//b',
        'a/',
        'a/./b',
        'a/b\0c',
        'a/.lagoa-x',
        'a/\uD800',
        `a/${'x'.repeat(256)}`,
        `a/${'x/'.repeat(600)}y`,
      ]) {
        const refused = { code: 'storage.bad_path', kind: 'invalid' }
        await expect(objects.get(path), path).rejects.toMatchObject(refused)
        await expect(objects.put(path, text('x')), path).rejects.toMatchObject(refused)
        await expect(objects.putIfAbsent(path, text('x')), path).rejects.toMatchObject(refused)
        await expect(objects.delete(path), path).rejects.toMatchObject(refused)
        await expect(objects.stage(path), path).rejects.toMatchObject(refused)
      }
      await expect(paths(objects, '../')).rejects.toMatchObject({ code: 'storage.bad_path' })
    })

    test('names with spaces, percent signs, quotes and other scripts are ordinary', async () => {
      const at = bucket()
      for (const key of [
        'with space',
        '100%25',
        'it\'s "quoted"',
        'ação/São Paulo',
        '日本語',
        'a=b/c=d e',
        '..hidden',
        'tail.',
        '*?',
        'back\\slash',
        '#1',
        'a+b&c',
      ]) {
        const path = `${at}/${key}`
        await objects.put(path, text(key))
        expect(await read(objects, path)).toBe(key)
        expect(await paths(objects, path)).toEqual([path])
      }
    })

    test('localFile is a file with the bytes; of a missing object it rejects', async () => {
      const path = `${bucket()}/local.bin`
      await objects.put(path, text('local'))
      const file = await objects.localFile(path)
      const { readFile } = await import('node:fs/promises')
      expect(await readFile(file, 'utf8')).toBe('local')
      await expect(objects.localFile(`${path}.not`)).rejects.toMatchObject({ code: 'storage.missing_object', kind: 'missing' })
    })

    test('a local file stays while it is held, and a hold may be released twice', async () => {
      const path = `${bucket()}/held.bin`
      await objects.put(path, text('held'))
      const release = objects.hold()
      const inner = objects.hold()
      const file = await objects.localFile(path)
      inner()
      inner()
      expect(readFileSync(file, 'utf8')).toBe('held')
      release()
    })

    test('a copy has the bytes, replaces what was there, and lives on when its source goes', async () => {
      const folder = bucket()
      await objects.put(`${folder}/from`, text('the bytes'))
      await objects.put(`${folder}/deeper/to`, text('what was there before'))
      await objects.copy(`${folder}/from`, `${folder}/deeper/to`)
      await objects.copy(`${folder}/from`, `${folder}/deeper/to`)
      await objects.put(`${folder}/from`, text('other bytes'))
      expect(await read(objects, `${folder}/deeper/to`)).toBe('the bytes')
      await objects.delete(`${folder}/from`)
      expect(await read(objects, `${folder}/deeper/to`)).toBe('the bytes')
      const names: string[] = []
      for await (const { path } of objects.list(`${folder}/`)) names.push(path)
      expect(names).toEqual([`${folder}/deeper/to`])
    })

    test('copying what is not there rejects and leaves nothing', async () => {
      const folder = bucket()
      await expect(objects.copy(`${folder}/nothing`, `${folder}/copy`)).rejects.toMatchObject({ code: 'storage.missing_object', kind: 'missing' })
      expect(await objects.head(`${folder}/copy`)).toBeNull()
    })

    test('an address leads back to its path, whatever the name holds', async () => {
      const folder = bucket()
      for (const name of ['plain.parquet', 'day=2024-01-02/a b%20c#d?e.parquet', 'São Paulo/ü.bin']) {
        const address = objects.uri(`${folder}/${name}`)
        expect(address).toMatch(/^[a-z0-9]+:\/\/[!-~]+$/)
        expect(objects.pathOf(address)).toBe(`${folder}/${name}`)
      }
      expect(objects.pathOf('gs://elsewhere/x')).toBeNull()
      expect(objects.pathOf('file:///somewhere/else')).toBeNull()
      expect(objects.pathOf('not an address')).toBeNull()
    })

    test('a staged file is invisible until it is published, then it is the object', async () => {
      const at = bucket()
      const path = `${at}/new/table/part-0.parquet`
      const staged = await objects.stage(path)
      expect(existsSync(staged.file)).toBe(false)
      writeFileSync(staged.file, 'parquet')
      expect(await objects.head(path)).toBeNull()
      expect(await paths(objects, `${at}/`)).toEqual([])
      expect(await staged.publish()).toBe(7)
      expect(await read(objects, path)).toBe('parquet')
      await staged.discard()
      expect(await read(objects, path)).toBe('parquet')
      expect(await paths(objects, `${at}/`)).toEqual([path])
    })

    test('a discarded file leaves nothing, written or not, once or twice', async () => {
      const path = `${bucket()}/gone.parquet`
      const written = await objects.stage(path)
      writeFileSync(written.file, 'x')
      await written.discard()
      await written.discard()
      expect(existsSync(written.file)).toBe(false)
      const untouched = await objects.stage(path)
      await untouched.discard()
      expect(await objects.head(path)).toBeNull()
    })

    test('publishing what was never written rejects', async () => {
      const path = `${bucket()}/unwritten`
      const staged = await objects.stage(path)
      await expect(staged.publish()).rejects.toThrow()
      expect(await objects.head(path)).toBeNull()
    })

    test('after close every method rejects', async () => {
      const other = await open()
      await other.close()
      await other.close()
      const closed = { code: 'storage.closed', kind: 'unavailable' }
      await expect(other.get('a/b')).rejects.toMatchObject(closed)
      await expect(other.put('a/b', text('x'))).rejects.toMatchObject(closed)
      await expect(other.putIfAbsent('a/b', text('x'))).rejects.toMatchObject(closed)
      await expect(other.head('a/b')).rejects.toMatchObject(closed)
      await expect(other.delete('a/b')).rejects.toMatchObject(closed)
      await expect(other.localFile('a/b')).rejects.toMatchObject(closed)
      await expect(other.stage('a/b')).rejects.toMatchObject(closed)
      await expect(paths(other, 'a/')).rejects.toMatchObject(closed)
    })
  })
}

const bucket = (): string => `b-${newId()}`
const text = (value: string): Uint8Array => Buffer.from(value)
const same = (a: Uint8Array | null, b: Uint8Array): boolean => a !== null && Buffer.from(a).equals(b)

async function read(objects: Objects, path: string): Promise<string | null> {
  const bytes = await objects.get(path)
  return bytes && Buffer.from(bytes).toString()
}

async function paths(objects: Objects, prefix: string, after?: string): Promise<string[]> {
  const found: string[] = []
  for await (const info of objects.list(prefix, after === undefined ? {} : { after })) found.push(info.path)
  return found
}
