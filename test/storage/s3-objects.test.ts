import { spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { openS3Objects, type Objects } from '../../src/storage/index.ts'
import { objectsContract } from '../contracts/objects.contract.ts'
import { tempFolder } from '../helpers/folder.ts'
import { startProxy, type Carried, type S3Proxy } from '../helpers/s3-proxy.ts'
import { noS3Server, openObjects, optionsFor, startS3 } from '../helpers/s3.ts'

const MB = 1024 ** 2
const bytes = (value: string): Uint8Array => Buffer.from(value)
const text = (value: Uint8Array | null): string | null => value && Buffer.from(value).toString()
const digest = (value: Uint8Array): string => createHash('sha256').update(value).digest('hex')

describe.skipIf(noS3Server !== null)(`objects on S3${noS3Server === null ? '' : ` (skipped: ${noS3Server})`}`, async () => {
  if (noS3Server !== null) return
  const server = await startS3()

  const shared = { ...optionsFor(server), cache: { folder: join(tempFolder(), 'cache'), limitBytes: 1e9 } }
  objectsContract('S3, a bucket a layer', () => openS3Objects(shared))
  objectsContract('S3, below one bucket', () => openS3Objects({ ...shared, bucket: 'company-lake', prefix: '/some/where/' }))

  describe('places', () => {
    test('a layer is a bucket, which is made when it is first written to', async () => {
      const objects = await openObjects(server)
      expect(objects.capabilities).toEqual({ name: 's3', inPlace: false })
      await objects.put('silver/readings/part-0.parquet', bytes('x'))
      expect(readFileSync(join(server.folder, 'silver/readings/part-0.parquet'), 'utf8')).toBe('x')
      expect(objects.uri('silver/readings/day=2024-01-02/a b.parquet')).toBe('s3://silver/readings/day%3D2024-01-02/a%20b.parquet')
      for (const scheme of ['s3', 's3a', 's3n', 'S3A']) expect(objects.pathOf(`${scheme}://silver/readings/a%20b`)).toBe('silver/readings/a b')
      for (const none of ['s3://silver', 's3://silver/', 's3://silver/a//b', 's3://silver/%zz', 's3://silver/../x', 'gs://silver/x'])
        expect(objects.pathOf(none)).toBeNull()
    })

    test('below one bucket and a prefix, other keys of that bucket are none of ours', async () => {
      const objects = await openObjects(server, { bucket: 'one-bucket', prefix: 'team/lake' })
      await objects.put('silver/x/1', bytes('ours'))
      expect(readFileSync(join(server.folder, 'one-bucket/team/lake/silver/x/1'), 'utf8')).toBe('ours')
      expect(objects.uri('silver/x/1')).toBe('s3://one-bucket/team/lake/silver/x/1')
      expect(objects.pathOf('s3a://one-bucket/team/lake/silver/x/1')).toBe('silver/x/1')
      expect(objects.pathOf('s3a://one-bucket/other/silver/x/1')).toBeNull()
      expect(objects.pathOf('s3a://another/team/lake/silver/x/1')).toBeNull()
      mkdirSync(join(server.folder, 'one-bucket/team/lakeside'))
      writeFileSync(join(server.folder, 'one-bucket/team/lakeside/x'), 'theirs')
      expect(await paths(objects, '')).toEqual(['silver/x/1'])
    })

    test('a name that no bucket can have is refused with the way out', async () => {
      const objects = await openObjects(server)
      await expect(objects.put('Silver_Layer/x', bytes('x'))).rejects.toMatchObject({
        code: 'storage.bad_bucket',
        kind: 'invalid',
        hint: expect.stringContaining('objects.bucket'),
      })
    })

    test('a list crosses pages', async () => {
      const objects = await openObjects(server, { bucket: 'many' })
      for (let i = 0; i < 1100; i += 50)
        await Promise.all(Array.from({ length: 50 }, (_, j) => objects.put(`b/many/${String(i + j).padStart(5, '0')}`, bytes('x'))))
      const found = await paths(objects, 'b/many/')
      expect(found).toHaveLength(1100)
      expect(found).toEqual([...found].sort())
      expect(await paths(objects, 'b/many/', 'b/many/01049')).toHaveLength(50)
    })
  })

  describe('connecting', () => {
    test('leaves nothing of its trial behind', async () => {
      const objects = await openObjects(server, { bucket: 'tried' })
      expect(await paths(objects, '')).toEqual([])
      const left = readdirSync(join(server.folder, 'tried'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
      expect(left).toEqual([])
    })

    test('a store that ignores the condition is refused before anything is written', async () => {
      const proxy = await startProxy(server)
      proxy.fate((request) => (isConditional(request) ? 'without-condition' : 'pass'))
      await expect(openS3Objects({ ...optionsFor(proxy.server), bucket: 'careless' })).rejects.toMatchObject({
        code: 'storage.not_exclusive',
        kind: 'unsupported',
        message: expect.stringMatching(/127\.0\.0\.1.*careless.*accepted a second conditional put/),
        hint: expect.stringContaining('docs/s3.md'),
      })
      // Without a bucket to try at first, the first write tries.
      const empty = await startS3()
      const before = await startProxy(empty)
      before.fate((request) => (isConditional(request) ? 'without-condition' : 'pass'))
      const objects = await openObjects(before.server)
      await expect(objects.putIfAbsent('fresh-layer/t/_delta_log/0.json', bytes('x'))).rejects.toMatchObject({ code: 'storage.not_exclusive' })
      await expect(objects.put('fresh-layer/t/x', bytes('x'))).rejects.toMatchObject({ code: 'storage.not_exclusive' })
      const left = readdirSync(join(empty.folder, 'fresh-layer'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
      expect(left).toEqual([])
      // A layer that is there is tried when connecting.
      await (await openObjects(empty)).put('silver/x', bytes('x'))
      await expect(openS3Objects(optionsFor(before.server))).rejects.toMatchObject({ code: 'storage.not_exclusive' })
    })

    test('a store that checks the condition before it writes, and not while, is refused', async () => {
      const proxy = await startProxy(server)
      const written = new Set<string>()
      proxy.fate(async (request) => {
        if (!isConditional(request)) return 'pass'
        if (written.has(request.path)) return { answer: 412, code: 'PreconditionFailed' }
        await new Promise((resolve) => setTimeout(resolve, 50))
        written.add(request.path)
        return 'without-condition'
      })
      await expect(openS3Objects({ ...optionsFor(proxy.server), bucket: 'racing' })).rejects.toMatchObject({
        code: 'storage.not_exclusive',
        message: expect.stringMatching(/let \d of 8 concurrent conditional puts/),
      })
    })

    test('a store that does not know the condition is refused', async () => {
      const proxy = await startProxy(server)
      proxy.fate((request) => (isConditional(request) ? { answer: 501, code: 'NotImplemented' } : 'pass'))
      await expect(openS3Objects({ ...optionsFor(proxy.server), bucket: 'old' })).rejects.toMatchObject({
        code: 'storage.not_exclusive',
        message: expect.stringContaining('501'),
      })
    })

    test('credentials that may only read are enough to read', async () => {
      const writer = await openObjects(server, { bucket: 'read-only' })
      await writer.put('silver/x', bytes('x'))
      const proxy = await startProxy(server)
      proxy.fate((request) => (request.method === 'PUT' ? { answer: 403, code: 'AccessDenied' } : 'pass'))
      const reader = await openObjects(proxy.server, { bucket: 'read-only' })
      expect(text(await reader.get('silver/x'))).toBe('x')
      await expect(reader.put('silver/y', bytes('y'))).rejects.toMatchObject({
        kind: 'denied',
        code: 'storage.denied',
        hint: expect.stringContaining('docs/s3.md'),
      })
    })

    test('wrong credentials, no server and a foreign certificate are told as what they are', async () => {
      const { secretAccessKey } = server
      const wrong = { ...optionsFor(server), bucket: 'x-lake', credentials: { accessKeyId: server.accessKeyId, secretAccessKey: 'wrong' } }
      await expect(openS3Objects(wrong)).rejects.toMatchObject({ kind: 'denied', code: 'storage.wrong_credentials' })
      await expect(openS3Objects(wrong)).rejects.not.toMatchObject({ message: expect.stringContaining(secretAccessKey) })
      const nowhere = await openObjects(server, { endpoint: 'http://127.0.0.1:1', bucket: 'x-lake' })
      await expect(nowhere.get('a/b')).rejects.toMatchObject({
        kind: 'unavailable',
        code: 'storage.unreachable',
        hint: expect.stringContaining('objects.endpoint'),
      })
      await expect(openS3Objects({ ...optionsFor(server), endpoint: server.endpoint.replace('http:', 'https:'), bucket: 'x-lake' })).rejects.toMatchObject({
        kind: 'unavailable',
        code: 'storage.tls',
      })
    })

    test('a store that is away when it is opened is written to once it answers, and only if it is exclusive', async () => {
      const proxy = await startProxy(server)
      proxy.fate(() => 'cut')
      const objects = await openObjects(proxy.server, { bucket: 'late-lake' })
      await expect(objects.put('silver/x', bytes('x'))).rejects.toMatchObject({ kind: 'unavailable', code: 'storage.unreachable' })
      proxy.fate(() => 'without-condition')
      await expect(objects.put('silver/x', bytes('x'))).rejects.toMatchObject({ kind: 'unsupported' })
      proxy.fate(() => 'pass')
      await objects.put('silver/x', bytes('x'))
      expect(text(await objects.get('silver/x'))).toBe('x')
    })

    test('a bucket that is missing and may not be made is told with the command that makes it', async () => {
      const proxy = await startProxy(server)
      proxy.fate(({ method, path }) => (method === 'PUT' && /^\/nobodys\/?(\?|$)/.test(path) ? { answer: 403, code: 'AccessDenied' } : 'pass'))
      await expect((await openObjects(proxy.server)).put('nobodys/x', bytes('x'))).rejects.toMatchObject({
        kind: 'denied',
        code: 'storage.no_bucket',
        hint: expect.stringContaining('aws s3 mb s3://nobodys'),
      })
      proxy.fate(({ method, path }) => (method === 'PUT' && /^\/nobodys\/?(\?|$)/.test(path) ? { answer: 409, code: 'BucketAlreadyExists' } : 'pass'))
      await expect((await openObjects(proxy.server)).put('nobodys/x', bytes('x'))).rejects.toMatchObject({ kind: 'conflict', code: 'storage.bucket_taken' })
    })
  })

  describe('an unreliable network', () => {
    let proxy: S3Proxy
    let objects: Objects
    beforeAll(async () => {
      proxy = await startProxy(server)
      objects = await openObjects(proxy.server, { bucket: 'unreliable', silenceMs: 300 })
    })
    const spoil = (count: number, fate: 'busy' | 'cut' | 'lose-answer' | 'half' | 'stall', on: (request: Carried) => boolean): void => {
      let left = count
      proxy.fate((request) => (on(request) && left-- > 0 ? fate : 'pass'))
    }

    test('requests that are refused or cut are made again', async () => {
      for (const fate of ['busy', 'cut'] as const) {
        spoil(2, fate, () => true)
        await objects.put('b/again', bytes(fate))
        spoil(2, fate, () => true)
        expect(text(await objects.get('b/again'))).toBe(fate)
        spoil(2, fate, () => true)
        expect(await paths(objects, 'b/again')).toEqual(['b/again'])
        spoil(2, fate, () => true)
        expect(await objects.head('b/again')).toMatchObject({ size: fate.length })
      }
    })

    test('a store that keeps refusing ends as unavailable', async () => {
      spoil(1000, 'busy', () => true)
      await expect(objects.get('b/never')).rejects.toMatchObject({ kind: 'unavailable' })
      spoil(1000, 'cut', () => true)
      await expect(objects.get('b/never')).rejects.toMatchObject({ kind: 'unavailable', code: 'storage.unreachable' })
    })

    test('an answer whose bytes end early or stop coming is asked for again', async () => {
      const content = randomBytes(300_000)
      proxy.fate(() => 'pass')
      await objects.put('b/large', content)
      for (const fate of ['half', 'stall'] as const) {
        spoil(2, fate, ({ method }) => method === 'GET')
        expect(digest((await objects.get('b/large')) ?? new Uint8Array())).toBe(digest(content))
      }
    })

    test('put-if-absent whose answer is lost still says who won', async () => {
      spoil(1, 'lose-answer', isConditional)
      expect(await objects.putIfAbsent('b/lost/1', bytes('first'))).toBe(true)
      expect(await objects.putIfAbsent('b/lost/1', bytes('first'))).toBe(false)
      // Ours loses, and the answer that says so is lost.
      spoil(1, 'lose-answer', isConditional)
      expect(await objects.putIfAbsent('b/lost/1', bytes('first'))).toBe(false)
      // All answers are lost: what is there tells.
      spoil(1000, 'lose-answer', isConditional)
      expect(await objects.putIfAbsent('b/lost/2', bytes('second'))).toBe(true)
      spoil(1000, 'cut', isConditional)
      await expect(objects.putIfAbsent('b/lost/3', bytes('third'))).rejects.toMatchObject({ kind: 'unavailable' })
      proxy.fate(() => 'pass')
      expect(await objects.get('b/lost/3')).toBeNull()
    })

    test('a conflict of writes under way is no loss: it is tried again', async () => {
      let left = 3
      proxy.fate((request) => (isConditional(request) && left-- > 0 ? { answer: 409, code: 'ConditionalRequestConflict' } : 'pass'))
      expect(await objects.putIfAbsent('b/conflict', bytes('x'))).toBe(true)
      left = 3
      expect(await objects.putIfAbsent('b/conflict', bytes('x'))).toBe(false)
    })

    test('closing ends requests that wait for an answer', async () => {
      const other = await openS3Objects({ ...optionsFor(proxy.server), bucket: 'unreliable' })
      proxy.fate(() => new Promise(() => undefined))
      const waiting = expect(other.get('b/again')).rejects.toMatchObject({ code: 'storage.closed' })
      const fetching = expect(other.localFile('b/again')).rejects.toMatchObject({ code: 'storage.closed' })
      await new Promise((resolve) => setTimeout(resolve, 100))
      await other.close()
      await Promise.all([waiting, fetching])
      proxy.fate(() => 'pass')
    })
  })

  describe('large objects', () => {
    const sizes = { download: MB, upload: 5 * MB, copy: 6 * MB }

    test('are written in parts, copied in parts and fetched in ranges, byte for byte', async () => {
      const proxy = await startProxy(server)
      const objects = await openObjects(proxy.server, { bucket: 'large', sizes })
      const content = randomBytes(12 * MB + 12_345)
      const staged = await objects.stage('b/large.bin')
      writeFileSync(staged.file, content)
      expect(await staged.publish()).toBe(content.length)
      expect(proxy.seen.filter(({ path }) => path.includes('partNumber='))).toHaveLength(3)
      await objects.copy('b/large.bin', 'b/copy.bin')
      expect(proxy.seen.filter(({ headers }) => 'x-amz-copy-source-range' in headers)).toHaveLength(3)
      for (const path of ['b/large.bin', 'b/copy.bin']) {
        expect(digest((await objects.get(path)) ?? new Uint8Array())).toBe(digest(content))
        const other = await openObjects(proxy.server, { bucket: 'large', sizes })
        expect(digest(readFileSync(await other.localFile(path)))).toBe(digest(content))
      }
      expect(proxy.seen.filter(({ method, headers }) => method === 'GET' && headers.range?.startsWith('bytes=')).length).toBeGreaterThanOrEqual(26)
    })

    test('an upload that fails in the middle leaves neither object nor parts, and can be tried again', async () => {
      const proxy = await startProxy(server)
      const objects = await openObjects(proxy.server, { bucket: 'broken-off', sizes })
      const staged = await objects.stage('b/half.bin')
      writeFileSync(staged.file, randomBytes(16 * MB))
      proxy.fate(({ path }) => (path.includes('partNumber=3') ? { answer: 400, code: 'InvalidPart' } : 'pass'))
      await expect(staged.publish()).rejects.toMatchObject({ code: 'storage.refused' })
      expect(await objects.head('b/half.bin')).toBeNull()
      expect(proxy.seen.some(({ method, path }) => method === 'DELETE' && path.includes('uploadId='))).toBe(true)
      const parts = readdirSync(join(server.folder, 'broken-off'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
      expect(parts).toEqual([])
      proxy.fate(() => 'pass')
      expect(await staged.publish()).toBe(16 * MB)
      expect(await objects.head('b/half.bin')).toMatchObject({ size: 16 * MB })
    })
  })

  // The certificate is made by a program that not every machine has.
  const openssl = spawnSync('openssl', ['version']).status === 0
  test.skipIf(!openssl)(`TLS with a certificate of one's own needs its authority named${openssl ? '' : ' (skipped: there is no openssl)'}`, async () => {
    const folder = tempFolder()
    const tls = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
    const subject = ['-subj', '/CN=s3', '-addext', 'subjectAltName=IP:127.0.0.1']
    const made = spawnSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject, '-keyout', tls.key, '-out', tls.cert])
    expect(made.status).toBe(0)
    const secure = await startS3({ tls })
    await expect(openS3Objects({ ...optionsFor(secure), bucket: 'secure' })).rejects.toMatchObject({
      code: 'storage.tls',
      hint: expect.stringContaining('objects.ca'),
    })
    const objects = await openObjects(secure, { bucket: 'secure', ca: tls.cert, sizes: { download: MB, upload: 5 * MB, copy: 6 * MB } })
    const content = randomBytes(6 * MB)
    const staged = await objects.stage('b/x.bin')
    writeFileSync(staged.file, content)
    await staged.publish()
    expect(digest((await objects.get('b/x.bin')) ?? new Uint8Array())).toBe(digest(content))
    await expect(openS3Objects({ ...optionsFor(secure), ca: join(folder, 'none.pem') })).rejects.toMatchObject({ code: 'storage.ca_file' })
    await expect(openS3Objects({ ...optionsFor(secure), ca: tls.key })).rejects.toMatchObject({ code: 'storage.ca_file' })
  })

  test('credentials come from the environment and from profiles as they do for the AWS tools', () => {
    const folder = tempFolder()
    const script = `
      import { openS3Objects } from ${JSON.stringify(new URL('../../src/storage/index.ts', import.meta.url).href)}
      const objects = await openS3Objects({ endpoint: ${JSON.stringify(server.endpoint)}, bucket: 'chain', cache: { folder: ${JSON.stringify(join(folder, 'cache'))}, limitBytes: 1e6 } })
        .catch((error) => (console.log(error.code), process.exit()))
      await objects.put('b/x', Buffer.from('x'))
      console.log((await objects.get('b/x')).length)
      await objects.close()`
    const run = (env: Readonly<Record<string, string>>): string =>
      spawnSync(process.execPath, ['--input-type=module', '-e', script], {
        encoding: 'utf8',
        env: { PATH: process.env.PATH, HOME: folder, AWS_EC2_METADATA_DISABLED: 'true', ...env },
      }).stdout.trim()
    expect(run({})).toBe('storage.no_credentials')
    expect(run({ AWS_ACCESS_KEY_ID: server.accessKeyId, AWS_SECRET_ACCESS_KEY: server.secretAccessKey })).toBe('1')
    writeFileSync(join(folder, 'credentials'), `[lake]\naws_access_key_id = ${server.accessKeyId}\naws_secret_access_key = ${server.secretAccessKey}\n`)
    expect(run({ AWS_SHARED_CREDENTIALS_FILE: join(folder, 'credentials'), AWS_PROFILE: 'lake' })).toBe('1')
    expect(existsSync(join(server.folder, 'chain/b/x'))).toBe(true)
  })
})

const isConditional = ({ method, headers }: Carried): boolean => method === 'PUT' && headers['if-none-match'] === '*'

async function paths(objects: Objects, prefix: string, after?: string): Promise<string[]> {
  const found: string[] = []
  for await (const { path } of objects.list(prefix, after === undefined ? {} : { after })) found.push(path)
  return found
}
