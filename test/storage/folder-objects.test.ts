import { chmodSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { spawnSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { openFolderObjects } from '../../src/storage/index.ts'
import { objectsContract } from '../contracts/objects.contract.ts'
import { tempFolder } from '../helpers/folder.ts'

const shared = tempFolder()
objectsContract('folder', () => openFolderObjects(join(shared, 'objects')))

const bytes = (value: string): Uint8Array => Buffer.from(value)
const root = process.getuid?.() === 0

describe('objects in a folder', () => {
  test('an object is the plain file bucket/key, and localFile is that file', async () => {
    const dir = tempFolder()
    const objects = await openFolderObjects(dir)
    await objects.put('silver/readings/part-0.parquet', bytes('x'))
    expect(objects.capabilities).toEqual({ name: 'folder', inPlace: true })
    expect(await objects.localFile('silver/readings/part-0.parquet')).toBe(join(dir, 'silver/readings/part-0.parquet'))
    expect(readdirSync(join(dir, 'silver/readings'))).toEqual(['part-0.parquet'])
  })

  test('a name cannot be both an object and a folder', async () => {
    const objects = await openFolderObjects(tempFolder())
    await objects.put('b/a', bytes('x'))
    await expect(objects.put('b/a/c', bytes('y'))).rejects.toMatchObject({ kind: 'conflict', code: 'storage.path_taken' })
    await expect(objects.putIfAbsent('b/a/c', bytes('y'))).rejects.toMatchObject({ kind: 'conflict', code: 'storage.path_taken' })
    expect(await objects.get('b/a/c')).toBeNull()
    await objects.put('b/d/e', bytes('x'))
    await expect(objects.put('b/d', bytes('y'))).rejects.toMatchObject({ kind: 'conflict', code: 'storage.path_taken' })
    await expect(objects.putIfAbsent('b/d', bytes('y'))).rejects.toMatchObject({ kind: 'conflict', code: 'storage.path_taken' })
    expect(await objects.get('b/d')).toBeNull()
    await objects.delete('b/d')
    expect(await objects.get('b/d/e')).not.toBeNull()
  })

  test('the name of a folder whose objects were all deleted can be an object', async () => {
    const objects = await openFolderObjects(tempFolder())
    await objects.put('b/a/c/d', bytes('x'))
    await objects.delete('b/a/c/d')
    const staged = await objects.stage('b/a/c/e')
    writeFileSync(staged.file, 'x')
    await expect(objects.put('b/a', bytes('y'))).rejects.toMatchObject({ code: 'storage.path_taken' })
    await staged.discard()
    expect(await objects.putIfAbsent('b/a', bytes('x'))).toBe(true)
    await objects.put('b/a', bytes('y'))
    expect(Buffer.from((await objects.get('b/a')) ?? []).toString()).toBe('y')
  })

  test('deleting and putting in one folder at the same time never fails', async () => {
    const objects = await openFolderObjects(tempFolder())
    const churn = async (name: string): Promise<void> => {
      for (let i = 0; i < 60; i++) {
        await objects.put(`b/churn/x/${name}`, bytes('x'))
        await objects.delete(`b/churn/x/${name}`)
      }
    }
    await Promise.all(['a', 'b', 'c', 'd'].map(churn))
  })

  test('what a killed process left is removed when the folder is opened, what a living one writes is not', async () => {
    const dir = tempFolder()
    const objects = await openFolderObjects(dir)
    const living = await objects.stage('b/deep/er/x.parquet')
    writeFileSync(living.file, 'half')
    const dead = spawnSync(process.execPath, ['-e', '']).pid
    const abandoned = living.file.replace(`-${process.pid}-`, `-${dead}-`)
    writeFileSync(abandoned, 'half')
    // In a container the next start may have the pid of the one before.
    const before = living.file.replace(/[0-9a-f]{16}(?=\.parquet$)/, '0123456789abcdef')
    writeFileSync(before, 'half')
    await openFolderObjects(dir)
    expect(existsSync(living.file)).toBe(true)
    expect([existsSync(abandoned), existsSync(before)]).toEqual([false, false])
  })

  test('a bucket may be a link to a folder elsewhere', async () => {
    const dir = tempFolder()
    const elsewhere = tempFolder()
    const objects = await openFolderObjects(dir)
    symlinkSync(elsewhere, join(dir, 'bronze'))
    await objects.put('bronze/t/1', bytes('x'))
    const found: string[] = []
    for await (const info of objects.list('')) found.push(info.path)
    expect(found).toEqual(['bronze/t/1'])
  })

  test('two processes never both win a path', { timeout: 20_000 }, async () => {
    const dir = tempFolder()
    const objects = await openFolderObjects(dir)
    const script = `
      import { openFolderObjects } from ${JSON.stringify(new URL('../../src/storage/index.ts', import.meta.url).href)}
      const objects = await openFolderObjects(${JSON.stringify(dir)})
      let won = 0
      for (let i = 0; i < 200; i++) if (await objects.putIfAbsent('log/' + i, Buffer.from('child'))) won++
      console.log(won)`
    const { promise, resolve } = Promise.withResolvers<string>()
    const { execFile } = await import('node:child_process')
    execFile(process.execPath, ['--input-type=module', '-e', script], (_, out) => resolve(out))
    let won = 0
    for (let i = 0; i < 200; i++) if (await objects.putIfAbsent(`log/${i}`, bytes('parent'))) won++
    expect(Number(await promise) + won).toBe(200)
  })

  test('a place where nothing can be made is told with its path', async () => {
    // /proc takes no folders, also from root.
    await expect(openFolderObjects('/proc/lagoa/objects')).rejects.toMatchObject({ kind: 'missing', message: expect.stringContaining('/proc/lagoa') })
  })

  test.skipIf(root)(`no permission is told with its path${root ? ' (skipped: root is refused nothing)' : ''}`, async () => {
    const dir = tempFolder()
    mkdirSync(join(dir, 'b'))
    chmodSync(join(dir, 'b'), 0o500)
    const objects = await openFolderObjects(dir)
    await expect(objects.put('b/x', bytes('x'))).rejects.toMatchObject({
      kind: 'unavailable',
      code: 'storage.no_permission',
      message: expect.stringContaining('b/x'),
    })
  })

  // Small and read-only disks are made in a mount namespace, which not every machine allows.
  const canMount = spawnSync('unshare', ['--user', '--map-root-user', '--mount', 'true']).status === 0

  test.skipIf(!canMount)('a full disk and a read-only one are told with the path, and leave what is there readable', () => {
    const dir = tempFolder()
    const script = `
      import { execFileSync } from 'node:child_process'
      import { readdirSync } from 'node:fs'
      import { openFolderObjects } from ${JSON.stringify(new URL('../../src/storage/index.ts', import.meta.url).href)}
      const objects = await openFolderObjects(${JSON.stringify(dir)})
      const outcome = (promise) => promise.then(() => 'done', (error) => [error.kind, error.code, error.message.includes('b/')].join(' '))
      console.log(await outcome(objects.put('b/small', Buffer.alloc(1000))))
      console.log(await outcome(objects.put('b/large', Buffer.alloc(3_000_000))))
      console.log(await outcome(objects.putIfAbsent('b/large', Buffer.alloc(3_000_000))))
      console.log(readdirSync(${JSON.stringify(join(dir, 'b'))}).join())
      execFileSync('mount', ['-o', 'remount,bind,ro', ${JSON.stringify(dir)}])
      console.log(await outcome(objects.putIfAbsent('b/other', Buffer.alloc(10))))
      console.log((await objects.get('b/small')).length)`
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
    expect(run.stdout.trim().split('\n')).toEqual([
      'done',
      'unavailable storage.disk_full true',
      'unavailable storage.disk_full true',
      'small',
      'unavailable storage.read_only true',
      '1000',
    ])
  })
})
