/**
 * Requests to a store that speaks the S3 API: one function a request, plain data in and out. The only file that knows the client
 * library, which is loaded when a store is opened. Single requests are tried up to four times by the library; an answer whose
 * bytes stop coming is asked for again here, because the library's part ends with the headers.
 */
import type { ListObjectsV2CommandOutput, S3Client } from '@aws-sdk/client-s3'
import { Agent as HttpAgent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { systemClock } from '../../../base/index.ts'
import { authorities } from '../../tls.ts'
import { faultOf, isAbsent, isNoBucket, isPassing } from './faults.ts'
import type { Location } from './layout.ts'

type Library = typeof import('@aws-sdk/client-s3')

export interface S3Connection {
  /** `http://127.0.0.1:9000`; AWS itself when absent. */
  readonly endpoint?: string
  /** What AWS_REGION or the profile says when absent, `us-east-1` when there is an endpoint. */
  readonly region?: string
  /** `http://store/bucket/key` instead of `http://bucket.store/key`; so it is by default when there is an endpoint. */
  readonly pathStyle?: boolean
  /** A PEM file with the authorities that sign the store's certificate, beside those that Node trusts. */
  readonly ca?: string
  /** Those that the AWS tools find (environment, profile, container, machine) when absent. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string; readonly sessionToken?: string }
  /** How long a connection may say nothing before the request is tried again. */
  readonly silenceMs?: number
}

export interface Got {
  readonly bytes: Uint8Array
  readonly etag: string
  /** Of the whole object. */
  readonly size: number
}

export interface Found {
  readonly etag: string
  readonly size: number
  readonly modified: number
  readonly mark: string | null
}

export interface Listed {
  readonly key: string
  readonly size: number
  readonly modified: number
}

export interface Range {
  readonly start: number
  /** The first byte that is not asked for. */
  readonly end: number
}

export interface Part {
  readonly number: number
  readonly etag: string
}

const ATTEMPTS = 4
const CONNECT_MS = 5000
const SILENCE_MS = 30_000
const SOCKETS = 64

/** The name under which a conditional write leaves its mark, to be known again. */
const MARK = 'lagoa-write'

export async function connectS3(connection: S3Connection): Promise<S3> {
  const library = await import('@aws-sdk/client-s3')
  const { endpoint, credentials, silenceMs = SILENCE_MS } = connection
  const region = connection.region ?? (endpoint === undefined ? undefined : 'us-east-1')
  const agents = { keepAlive: true, maxSockets: SOCKETS }
  const client = new library.S3Client({
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(credentials === undefined ? {} : { credentials: { ...credentials } }),
    forcePathStyle: connection.pathStyle ?? endpoint !== undefined,
    maxAttempts: ATTEMPTS,
    retryMode: 'standard',
    // Stores other than AWS know few of the newer checksums; the signature covers the bytes.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    expectContinueHeader: false,
    requestHandler: {
      connectionTimeout: CONNECT_MS,
      socketTimeout: silenceMs,
      httpAgent: new HttpAgent(agents),
      httpsAgent: new HttpsAgent({ ...agents, ...(connection.ca === undefined ? {} : { ca: await authorities(connection.ca, 'objects.ca') }) }),
    },
  })
  return new S3(library, client)
}

export class S3 {
  readonly #library: Library
  readonly #client: S3Client
  readonly #closing = new AbortController()

  constructor(library: Library, client: S3Client) {
    this.#library = library
    this.#client = client
  }

  /** Null when there is no object. A range behind the end answers no bytes. `etag` refuses other versions with PreconditionFailed. */
  async get(at: Location, options: { readonly range?: Range; readonly etag?: string } = {}): Promise<Got | null> {
    const { range, etag } = options
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await this.#client.send(
          new this.#library.GetObjectCommand({
            ...addressOf(at),
            ...(range ? { Range: `bytes=${range.start}-${range.end - 1}` } : {}),
            ...(etag === undefined ? {} : { IfMatch: etag }),
          }),
          this.#options,
        )
        const bytes = (await answer.Body?.transformToByteArray()) ?? new Uint8Array()
        return { bytes, etag: answer.ETag ?? '', size: wholeSize(answer.ContentRange) ?? bytes.length }
      } catch (error) {
        const fault = faultOf(error)
        if (isAbsent(fault) || isNoBucket(fault)) return null
        if (fault.status === 416) {
          const found = await this.head(at)
          return found && { bytes: new Uint8Array(), etag: found.etag, size: found.size }
        }
        // With a status the library has tried already; without one the answer broke off.
        if (attempt >= ATTEMPTS || fault.status !== 0 || fault.attempts > 1 || !isPassing(fault) || this.#closing.signal.aborted) throw error
        await systemClock.sleep(Math.random() * 100 * 2 ** attempt, this.#closing.signal)
      }
    }
  }

  async head(at: Location): Promise<Found | null> {
    try {
      const answer = await this.#client.send(new this.#library.HeadObjectCommand(addressOf(at)), this.#options)
      return { etag: answer.ETag ?? '', size: answer.ContentLength ?? 0, modified: seconds(answer.LastModified), mark: answer.Metadata?.[MARK] ?? null }
    } catch (error) {
      const fault = faultOf(error)
      if (isAbsent(fault) || isNoBucket(fault)) return null
      throw error
    }
  }

  /** Answers the etag. */
  async put(at: Location, bytes: Uint8Array): Promise<string> {
    const answer = await this.#client.send(new this.#library.PutObjectCommand({ ...addressOf(at), Body: bytes, ContentLength: bytes.length }), this.#options)
    return answer.ETag ?? ''
  }

  /** Writes unless the key is taken, which is the fault PreconditionFailed. `mark` can be found by `head`. */
  async putIfAbsent(at: Location, bytes: Uint8Array, mark: string): Promise<void> {
    await this.#client.send(
      new this.#library.PutObjectCommand({
        ...addressOf(at),
        Body: bytes,
        ContentLength: bytes.length,
        IfNoneMatch: '*',
        Metadata: { [MARK]: mark },
      }),
      this.#options,
    )
  }

  async delete(at: Location): Promise<void> {
    try {
      await this.#client.send(new this.#library.DeleteObjectCommand(addressOf(at)), this.#options)
    } catch (error) {
      const fault = faultOf(error)
      if (!isAbsent(fault) && !isNoBucket(fault)) throw error
    }
  }

  /** A bucket's keys in UTF-8 byte order, by pages of up to a thousand; none when there is no bucket. */
  async *list(bucket: string, prefix: string, after: string | null): AsyncGenerator<Listed> {
    let next: string | undefined
    do {
      let answer: ListObjectsV2CommandOutput
      try {
        answer = await this.#page(bucket, prefix, after, next)
      } catch (error) {
        if (isNoBucket(faultOf(error))) return
        throw error
      }
      for (const { Key, Size, LastModified } of answer.Contents ?? [])
        if (Key !== undefined) yield { key: Key, size: Size ?? 0, modified: seconds(LastModified) }
      next = answer.IsTruncated === true ? answer.NextContinuationToken : undefined
    } while (next !== undefined)
  }

  #page(bucket: string, prefix: string, after: string | null, token: string | undefined): Promise<ListObjectsV2CommandOutput> {
    return this.#client.send(
      new this.#library.ListObjectsV2Command({
        Bucket: bucket,
        ...(prefix === '' ? {} : { Prefix: prefix }),
        ...(token === undefined ? (after === null || after === '' ? {} : { StartAfter: after }) : { ContinuationToken: token }),
      }),
      this.#options,
    )
  }

  async buckets(): Promise<string[]> {
    const names: string[] = []
    let next: string | undefined
    do {
      const answer = await this.#client.send(new this.#library.ListBucketsCommand(next === undefined ? {} : { ContinuationToken: next }), this.#options)
      for (const { Name } of answer.Buckets ?? []) if (Name !== undefined) names.push(Name)
      next = answer.ContinuationToken
    } while (next !== undefined && next !== '')
    return names
  }

  async createBucket(bucket: string): Promise<void> {
    const region = await this.#client.config.region()
    await this.#client.send(
      new this.#library.CreateBucketCommand({
        Bucket: bucket,
        ...(isLocation(this.#library, region) ? { CreateBucketConfiguration: { LocationConstraint: region } } : {}),
      }),
      this.#options,
    )
  }

  /** The store carries the bytes itself; at most 5 GB in one request. */
  async copy(from: Location, to: Location): Promise<void> {
    await this.#client.send(new this.#library.CopyObjectCommand({ ...addressOf(to), CopySource: sourceOf(from) }), this.#options)
  }

  async startUpload(at: Location): Promise<string> {
    const answer = await this.#client.send(new this.#library.CreateMultipartUploadCommand(addressOf(at)), this.#options)
    return answer.UploadId ?? ''
  }

  async uploadPart(at: Location, upload: string, number: number, bytes: Uint8Array): Promise<Part> {
    const answer = await this.#client.send(
      new this.#library.UploadPartCommand({ ...addressOf(at), UploadId: upload, PartNumber: number, Body: bytes, ContentLength: bytes.length }),
      this.#options,
    )
    return { number, etag: answer.ETag ?? '' }
  }

  async copyPart(at: Location, upload: string, number: number, from: Location, range: Range, etag: string): Promise<Part> {
    const answer = await this.#client.send(
      new this.#library.UploadPartCopyCommand({
        ...addressOf(at),
        UploadId: upload,
        PartNumber: number,
        CopySource: sourceOf(from),
        CopySourceRange: `bytes=${range.start}-${range.end - 1}`,
        CopySourceIfMatch: etag,
      }),
      this.#options,
    )
    return { number, etag: answer.CopyPartResult?.ETag ?? '' }
  }

  /** Answers the etag of the whole. */
  async finishUpload(at: Location, upload: string, parts: readonly Part[]): Promise<string> {
    const answer = await this.#client.send(
      new this.#library.CompleteMultipartUploadCommand({
        ...addressOf(at),
        UploadId: upload,
        MultipartUpload: { Parts: parts.map(({ number, etag }) => ({ PartNumber: number, ETag: etag })) },
      }),
      this.#options,
    )
    return answer.ETag ?? ''
  }

  /** Also while closing, so that no parts are left behind. */
  async abortUpload(at: Location, upload: string): Promise<void> {
    await this.#client.send(new this.#library.AbortMultipartUploadCommand({ ...addressOf(at), UploadId: upload }), {
      abortSignal: AbortSignal.timeout(CONNECT_MS),
    })
  }

  /** Ends what is under way. */
  abort(): void {
    this.#closing.abort()
  }

  close(): void {
    this.#client.destroy()
  }

  get #options(): { abortSignal: AbortSignal } {
    return { abortSignal: this.#closing.signal }
  }
}

const addressOf = ({ bucket, key }: Location): { Bucket: string; Key: string } => ({ Bucket: bucket, Key: key })

const sourceOf = ({ bucket, key }: Location): string => `${bucket}/${key.split('/').map(encodeURIComponent).join('/')}`

/** HEAD tells whole seconds and some stores list milliseconds: both ways must tell the same time. */
const seconds = (time: Date | undefined): number => Math.floor((time?.getTime() ?? 0) / 1000) * 1000

/** `bytes 0-99/1234` */
function wholeSize(range: string | undefined): number | null {
  const size = /\/(\d+)$/.exec(range ?? '')?.[1]
  return size === undefined ? null : Number(size)
}

type LocationConstraint = Library['BucketLocationConstraint'][keyof Library['BucketLocationConstraint']]

/** us-east-1 is where buckets lie that name no location. */
function isLocation(library: Library, region: string): region is LocationConstraint {
  return Object.values<string>(library.BucketLocationConstraint).includes(region)
}
