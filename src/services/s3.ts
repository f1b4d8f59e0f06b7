/** An S3 store over a folder: Versity S3 Gateway, or MinIO. Which of the two made the data is kept, since neither reads the other's. */
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { missing, unavailable } from '../base/index.ts'
import { ensureFolder } from '../storage/index.ts'
import { fetched } from './machine.ts'
import { SERVER, type Program, type Service, type Site } from './service.ts'
import { secret } from './settings.ts'

const REGION = 'us-east-1'

export const s3: Service = {
  name: 's3',
  group: 'lake',
  title: 'S3',
  ports: ['server'],
  fresh: () => ({ accessKeyId: `lagoa${secret().slice(0, 12)}`, secretAccessKey: secret() }),
  startLimitMs: 30_000,
  ending: ['SIGTERM', 'SIGKILL'],

  async find(machine) {
    const programs = {
      versitygw: await machine.program(['versitygw'], { last: [fetched('s3-server')] }),
      minio: await machine.program(['minio']),
    }
    if (programs.versitygw === null && programs.minio === null)
      throw missing('services.no_program', 'There is no versitygw and no minio on this machine', {
        hint: 'With Go installed: go install github.com/versity/versitygw/cmd/versitygw@v1.8.0, and put $(go env GOPATH)/bin on the PATH',
      })
    return async (site) => {
      const made = await madeBy(site.folder)
      const kind = made ?? (programs.versitygw === null ? 'minio' : 'versitygw')
      const program = programs[kind]
      if (program === null)
        throw missing('services.no_program', `The objects in ${site.folder} were made by ${kind}, which is not on this machine any more`, {
          hint: `Put ${kind} on the PATH, or start anew without the objects: rm -r ${site.folder}`,
        })
      return [await (kind === 'minio' ? minio(program, site, machine.path) : versity(program, site, machine.path))]
    }
  },
  address: (settings) => `http://127.0.0.1:${settings.port('server')}`,
  variables: (settings) => ({
    S3_ENDPOINT: s3.address(settings),
    S3_REGION: REGION,
    S3_ACCESS_KEY_ID: settings.text('accessKeyId'),
    S3_SECRET_ACCESS_KEY: settings.text('secretAccessKey'),
  }),

  /** Nobody may list buckets without a signature, and the refusal is an answer of S3. */
  async ask(settings, signal) {
    const answer = await fetch(s3.address(settings), { signal: AbortSignal.any([signal, AbortSignal.timeout(3_000)]) }).catch((cause: unknown) => {
      throw unavailable('services.no_answer', `${s3.address(settings)} does not answer`, { hint: 'It may need a moment.', cause })
    })
    const text = await answer.text()
    if (!/<Code>\w+<\/Code>/.test(text)) throw unavailable('services.not_ready', `The S3 store answers ${answer.status}`, { hint: 'It may need a moment.' })
  },
}

async function madeBy(folder: string): Promise<'versitygw' | 'minio' | null> {
  for (const kind of ['versitygw', 'minio'] as const)
    if (
      await access(join(folder, kind)).then(
        () => true,
        () => false,
      )
    )
      return kind
  return null
}

async function versity(program: string, { folder, settings }: Site, path: string): Promise<Program> {
  const [buckets, metadata] = [join(folder, 'versitygw', 'buckets'), join(folder, 'versitygw', 'metadata')]
  await ensureFolder(buckets, 0o700)
  await ensureFolder(metadata, 0o700)
  const port = settings.port('server')
  return {
    name: SERVER,
    // Not every folder takes extended attributes: metadata lie beside.
    command: [program, '--port', `127.0.0.1:${port}`, '--region', REGION, '--keep-alive', '--quiet', 'posix', '--sidecar', metadata, buckets],
    env: { PATH: path, ROOT_ACCESS_KEY: settings.text('accessKeyId'), ROOT_SECRET_KEY: settings.text('secretAccessKey') },
    ports: [port],
  }
}

async function minio(program: string, { folder, settings }: Site, path: string): Promise<Program> {
  const data = join(folder, 'minio')
  await ensureFolder(data, 0o700)
  const port = settings.port('server')
  return {
    name: SERVER,
    command: [program, 'server', '--quiet', '--address', `127.0.0.1:${port}`, data],
    env: {
      PATH: path,
      HOME: folder,
      MINIO_ROOT_USER: settings.text('accessKeyId'),
      MINIO_ROOT_PASSWORD: settings.text('secretAccessKey'),
      MINIO_BROWSER: 'off',
      MINIO_REGION: REGION,
    },
    ports: [port],
  }
}
