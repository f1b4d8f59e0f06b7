/** The local copies of objects on S3: what is fetched when, what is kept, and what goes. */
import { spawn, spawnSync } from 'node:child_process'
import { randomBytes, randomUUID } from 'node:crypto'
import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Objects } from '../../src/storage/index.ts'
import { tempFolder } from '../helpers/folder.ts'
import { startProxy } from '../helpers/s3-proxy.ts'
import { noS3Server, openObjects, optionsFor, startS3 } from '../helpers/s3.ts'

const KB = 1000
const dataFile = (n: number): string => `silver/t/part-${String(n).padStart(5, '0')}-${randomUUID()}.parquet`

describe.skipIf(noS3Server !== null)(`the cache of objects on S3${noS3Server === null ? '' : ` (skipped: ${noS3Server})`}`, async () => {
  if (noS3Server !== null) return
  const server = await startS3()
  const proxy = await startProxy(server)

  interface Place {
    readonly folder: string
    /** Opens another instance on the same cache, as another process would. */
    open(limitBytes?: number): Promise<Objects>
  }

  const place = (limit: number = 1e9): Place => {
    const folder = join(tempFolder(), 'cache')
    return { folder, open: (limitBytes = limit) => openObjects(proxy.server, { bucket: 'cached', cache: { folder, limitBytes } }) }
  }
  const fetches = (path: string): number => proxy.seen.filter((request) => request.method === 'GET' && request.path.startsWith(`/cached/${path}`)).length
  const asked = (path: string): number => proxy.seen.filter((request) => request.path.startsWith(`/cached/${path}`)).length
  const kept = (folder: string): { bytes: number; count: number } => {
    const files = readdirSync(join(folder, 'data'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
    return { bytes: files.reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0), count: files.length }
  }
  const links = (folder: string): number => readdirSync(join(folder, 'held'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).length
  /** Objects of a size, written by somebody else. */
  const written = async (count: number, size: number): Promise<{ path: string; content: Buffer }[]> => {
    const elsewhere = await openObjects(server, { bucket: 'cached' })
    const all = Array.from({ length: count }, (_, i) => ({ path: dataFile(i), content: randomBytes(size) }))
    await Promise.all(all.map(({ path, content }) => elsewhere.put(path, content)))
    return all
  }

  test('a data file is fetched once, by however many callers, and never asked for again', async () => {
    const [one] = await written(1, 50 * KB)
    const { path, content } = one!
    const { open } = place()
    const objects = await open()
    const files = await Promise.all(Array.from({ length: 20 }, () => objects.localFile(path)))
    expect(new Set(files).size).toBe(1)
    expect(readFileSync(files[0]!).equals(content)).toBe(true)
    await objects.localFile(path)
    expect({ fetches: fetches(path), asked: asked(path) }).toEqual({ fetches: 1, asked: 1 })
  })

  test('it is found by the next process and by one beside it', async () => {
    const [one, two] = await written(2, 50 * KB)
    const { open } = place()
    const first = await open()
    const beside = await open()
    await first.localFile(one!.path)
    expect(readFileSync(await beside.localFile(one!.path)).equals(one!.content)).toBe(true)
    await beside.localFile(two!.path)
    await first.localFile(two!.path)
    await first.close()
    await beside.close()
    const next = await open()
    expect(readFileSync(await next.localFile(one!.path)).equals(one!.content)).toBe(true)
    expect([one!, two!].map(({ path }) => fetches(path))).toEqual([1, 1])
  })

  test('what was just written is read without fetching it', async () => {
    const { open } = place()
    const objects = await open()
    const path = dataFile(0)
    const staged = await objects.stage(path)
    writeFileSync(staged.file, 'just written')
    await staged.publish()
    expect(readFileSync(await objects.localFile(path), 'utf8')).toBe('just written')
    expect(fetches(path)).toBe(0)
  })

  test('an object under a name that is used again is never given out stale', async () => {
    const { open } = place()
    const objects = await open()
    const other = await open()
    const elsewhere = await openObjects(server, { bucket: 'cached' })
    const path = 'silver/t/_delta_log/00000000000000000010.checkpoint.parquet'
    await elsewhere.put(path, Buffer.from('first'))
    expect(readFileSync(await objects.localFile(path), 'utf8')).toBe('first')
    await elsewhere.put(path, Buffer.from('other'))
    expect(readFileSync(await objects.localFile(path), 'utf8')).toBe('other')
    expect(readFileSync(await other.localFile(path), 'utf8')).toBe('other')
    const before = fetches(path)
    await objects.localFile(path)
    expect(fetches(path)).toBe(before)
    await elsewhere.delete(path)
    await expect(objects.localFile(path)).rejects.toMatchObject({ code: 'storage.missing_object' })
  })

  test('whoever deletes or replaces a data file does not read the old one', async () => {
    const { open } = place()
    const objects = await open()
    const [one, two] = await written(2, KB)
    await objects.localFile(one!.path)
    await objects.put(one!.path, Buffer.from('replaced'))
    expect(readFileSync(await objects.localFile(one!.path), 'utf8')).toBe('replaced')
    await objects.copy(two!.path, one!.path)
    expect(readFileSync(await objects.localFile(one!.path)).equals(two!.content)).toBe(true)
    await objects.delete(one!.path)
    await expect(objects.localFile(one!.path)).rejects.toMatchObject({ code: 'storage.missing_object' })
  })

  test('a copy that was cut off is fetched again', async () => {
    const [one] = await written(1, 50 * KB)
    const { open } = place()
    const objects = await open()
    truncateSync(await objects.localFile(one!.path), 1000)
    expect(readFileSync(await objects.localFile(one!.path)).equals(one!.content)).toBe(true)
    const release = objects.hold()
    expect(readFileSync(await objects.localFile(one!.path)).equals(one!.content)).toBe(true)
    release()
    expect(fetches(one!.path)).toBe(2)
  })

  test('a fetch that fails leaves nothing and can be repeated', async () => {
    const [one] = await written(1, 50 * KB)
    const { folder, open } = place()
    const objects = await open()
    proxy.fate(({ method }) => (method === 'GET' ? { answer: 400, code: 'Nonsense' } : 'pass'))
    await expect(objects.localFile(one!.path)).rejects.toMatchObject({ code: 'storage.refused' })
    proxy.fate(() => 'pass')
    expect(readdirSync(join(folder, 'unfinished'))).toEqual([])
    expect(readFileSync(await objects.localFile(one!.path)).equals(one!.content)).toBe(true)
  })

  test('it stays within its bound, and what was used last stays longest', async () => {
    const all = await written(40, 100 * KB)
    const { folder, open } = place(1000 * KB)
    const objects = await open()
    const favourite = all[0]!
    for (const { path, content } of all) {
      expect(readFileSync(await objects.localFile(path)).equals(content)).toBe(true)
      expect(kept(folder).bytes).toBeLessThanOrEqual(1000 * KB)
    }
    expect(fetches(favourite.path)).toBe(1)
    const last = all.slice(-5).map(({ path }) => path)
    for (const path of last) await objects.localFile(path)
    expect(last.map(fetches)).toEqual([1, 1, 1, 1, 1])
    await objects.localFile(favourite.path)
    expect(fetches(favourite.path)).toBe(2)
    await objects.close()
    // A smaller bound holds from the next start on.
    await open(300 * KB)
    expect(kept(folder).bytes).toBeLessThanOrEqual(300 * KB)
  })

  test('nothing goes that a hold was told, however full it gets; when it is released, the bound holds again', async () => {
    const all = await written(30, 100 * KB)
    const { folder, open } = place(500 * KB)
    const objects = await open()
    const beside = await open()
    const release = objects.hold()
    const files = await Promise.all(all.slice(0, 15).map(({ path }) => objects.localFile(path)))
    // Another process, short of room, takes what it can find.
    for (const { path } of all.slice(15)) await beside.localFile(path)
    files.forEach((file, i) => expect(readFileSync(file).equals(all[i]!.content)).toBe(true))
    const later = objects.hold()
    const [again] = await Promise.all([objects.localFile(all[0]!.path), objects.localFile(all[20]!.path)])
    release()
    expect(readFileSync(again).equals(all[0]!.content)).toBe(true)
    later()
    await objects.localFile(all[1]!.path)
    await expect.poll(() => links(folder)).toBe(0)
    await expect.poll(() => kept(folder).bytes).toBeLessThanOrEqual(500 * KB)
  })

  test('holds come and go while files are asked for, and no file goes under its reader', async () => {
    const all = await written(25, 20 * KB)
    const { folder, open } = place(100 * KB)
    const instances = [await open(), await open()]
    const read = async (objects: Objects, seed: number): Promise<void> => {
      for (let round = 0; round < 25; round++) {
        const release = objects.hold()
        const mine = [0, 1, 2].map((i) => all[(seed * 7 + round * 3 + i * 5) % all.length]!)
        const files = await Promise.all(mine.map(({ path }) => objects.localFile(path)))
        await new Promise((resolve) => setTimeout(resolve, (seed + round) % 4))
        files.forEach((file, i) => expect(readFileSync(file).equals(mine[i]!.content)).toBe(true))
        release()
      }
    }
    await Promise.all(instances.flatMap((objects, i) => [0, 1, 2].map((n) => read(objects, i * 3 + n))))
    await expect.poll(() => links(folder)).toBe(0)
  })

  test('what a killed process left unfinished or held is cleared by the next one', async () => {
    const [one] = await written(1, 20 * KB)
    const { folder, open } = place()
    const script = `
      import { openS3Objects } from ${JSON.stringify(new URL('../../src/storage/index.ts', import.meta.url).href)}
      import { writeFileSync } from 'node:fs'
      const objects = await openS3Objects(${JSON.stringify({ ...optionsFor(proxy.server), bucket: 'cached', cache: { folder, limitBytes: 1e9 } })})
      objects.hold()
      await objects.localFile(${JSON.stringify(one!.path)})
      const staged = await objects.stage(${JSON.stringify(dataFile(1))})
      writeFileSync(staged.file, 'half')
      console.log('ready')
      setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    await new Promise((resolve) => child.stdout.once('data', resolve))
    // The living one keeps what is its own.
    await (await open()).close()
    expect([links(folder), readdirSync(join(folder, 'unfinished')).length]).toEqual([1, 1])
    const ended = new Promise((resolve) => child.once('close', resolve))
    child.kill('SIGKILL')
    await ended
    const objects = await open()
    expect([links(folder), readdirSync(join(folder, 'unfinished')).length]).toEqual([0, 0])
    expect(readFileSync(await objects.localFile(one!.path)).equals(one!.content)).toBe(true)
    expect(fetches(one!.path)).toBe(1)
  })

  test('copies of one store are not taken for those of another', async () => {
    const { folder } = place()
    const [path] = [dataFile(0)]
    const here = await openObjects(server, { bucket: 'one-lake', cache: { folder, limitBytes: 1e9 } })
    const there = await openObjects(server, { bucket: 'two-lake', cache: { folder, limitBytes: 1e9 } })
    await here.put(path!, Buffer.from('here'))
    await there.put(path!, Buffer.from('there'))
    expect(readFileSync(await here.localFile(path!), 'utf8')).toBe('here')
    expect(readFileSync(await there.localFile(path!), 'utf8')).toBe('there')
  })

  // Small disks are made in a mount namespace, which not every machine allows.
  const canMount = spawnSync('unshare', ['--user', '--map-root-user', '--mount', 'true']).status === 0
  test.skipIf(!canMount)('a full disk is told as that, and what is there stays readable', async () => {
    const [one, two] = await written(2, 700 * KB)
    const dir = tempFolder()
    const script = `
      import { openS3Objects } from ${JSON.stringify(new URL('../../src/storage/index.ts', import.meta.url).href)}
      import { readFileSync } from 'node:fs'
      const objects = await openS3Objects(${JSON.stringify({ ...optionsFor(server), bucket: 'cached', cache: { folder: join(dir, 'cache'), limitBytes: 1e9 } })})
      const outcome = (path) => objects.localFile(path).then((file) => readFileSync(file).length, (error) => error.kind + ' ' + error.code)
      console.log(await outcome(${JSON.stringify(one!.path)}))
      console.log(await outcome(${JSON.stringify(two!.path)}))
      console.log(await outcome(${JSON.stringify(one!.path)}))
      await objects.close()`
    const run = spawnSync(
      'unshare',
      [
        '--user',
        '--map-root-user',
        '--mount',
        'sh',
        '-c',
        'mount -t tmpfs -o size=1m tmpfs "$1" && exec "$2" --input-type=module -e "$3"',
        'sh',
        dir,
        process.execPath,
        script,
      ],
      { encoding: 'utf8' },
    )
    expect(run.stderr).toBe('')
    expect(run.stdout.trim().split('\n')).toEqual(['700000', 'unavailable storage.disk_full', '700000'])
  })
})
