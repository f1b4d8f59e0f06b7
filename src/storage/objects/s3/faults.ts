/** What a request to S3 can end with, in our words: each fault says what was tried where, and what to do. */
import { conflict, denied, invalid, LagoaError, missing, overLimit, toLagoaError, unavailable, unsupported } from '../../../base/index.ts'

/** What an error of the client tells, whatever its class. */
export interface Fault {
  /** The store's error code (`NoSuchKey`), the client's or the system's name for it. */
  readonly name: string
  /** HTTP status; 0 when there was no answer. */
  readonly status: number
  readonly message: string
  /** How often the request was sent. */
  readonly attempts: number
}

export function faultOf(error: unknown): Fault {
  const own = isRecord(error) ? error : {}
  const metadata = isRecord(own.$metadata) ? own.$metadata : {}
  const cause = isRecord(own.cause) ? own.cause : {}
  const code = textOf(own.Code) ?? textOf(own.code) ?? textOf(cause.code)
  const name = textOf(own.name) ?? 'Error'
  return {
    name: name === 'Error' || name === 'TimeoutError' || name === 'S3ServiceException' ? (code ?? name) : name,
    status: typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : 0,
    message: messageOf(own, name),
    attempts: typeof metadata.attempts === 'number' ? metadata.attempts : 1,
  }
}

function messageOf(own: Readonly<Record<string, unknown>>, name: string): string {
  const text = textOf(own.message) ?? ''
  // HEAD has no body, so the client knows no more than the status.
  if (text !== '' && text !== 'UnknownError') return text
  // Refused on every address of a name: the reasons are in the parts.
  const [first] = Array.isArray(own.errors) ? own.errors : []
  return (isRecord(first) ? textOf(first.message) : null) ?? name
}

export const isAbsent = ({ name, status }: Fault): boolean => name === 'NoSuchKey' || name === 'NotFound' || (status === 404 && name !== 'NoSuchBucket')
export const isNoBucket = ({ name }: Fault): boolean => name === 'NoSuchBucket'
/** Another writer was there first. */
export const isTaken = ({ name, status }: Fault): boolean => name === 'PreconditionFailed' || status === 412
/** Another write on the same key was under way: neither of them is known to have won. */
export const isContended = ({ name }: Fault): boolean => name === 'ConditionalRequestConflict' || name === 'OperationAborted'
/** Whether the request may have been carried out although no success was told. */
export const isUnsure = (fault: Fault): boolean => isPassing(fault) && fault.status !== 429
/** Trying again later may help: no answer, or one that says so. */
export const isPassing = ({ name, status }: Fault): boolean =>
  (status === 0 && !CREDENTIALS.test(name) && !TLS.test(name) && !isOfDisk(name)) || status >= 500 || status === 429

const CREDENTIALS = /^(CredentialsProviderError|TokenProviderError)$/
const TLS = /CERT|SELF_SIGNED|SIGNATURE_FAILURE|ERR_TLS|ERR_SSL|EPROTO/
const PATH_TAKEN = /^(ExistingObjectIsDirectory|ObjectParentIsFile|DirectoryObjectContainsData|XMinioObjectExistsAsDirectory|XMinioParentIsObject)$/
const WRONG_KEY = /^(InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|ExpiredToken|ExpiredTokenException|AuthorizationHeaderMalformed)$/

/** `tried` is what did not come about: `silver/readings/part-0.parquet could not be read`. */
export function s3Error(error: unknown, tried: string, store: string): LagoaError {
  if (error instanceof LagoaError) return error
  const fault = faultOf(error)
  const { name, status, message } = fault
  const what = `${tried} (object store ${store})`
  const said = `${message}${message.includes(name) ? '' : ` (${name})`}`
  if (CREDENTIALS.test(name))
    return denied('storage.no_credentials', `${what}: there are no credentials (${message})`, {
      hint: 'Set objects.accessKeyId and objects.secretAccessKey (LAGOA_OBJECTS__ACCESS_KEY_ID, LAGOA_OBJECTS__SECRET_ACCESS_KEY), or what the AWS tools read: AWS_ACCESS_KEY_ID, AWS_PROFILE, or the role of the machine.',
      cause: error,
    })
  if (TLS.test(name))
    return unavailable('storage.tls', `${what}: its certificate or TLS was not accepted: ${said}`, {
      hint: 'Name the authority that signed it in objects.ca (a PEM file), and check that objects.endpoint begins with https:// or http:// as the store does.',
      cause: error,
    })
  if (/Region is missing/i.test(message))
    return invalid('storage.no_region', `${what}: no region is configured`, { hint: 'Set objects.region (LAGOA_OBJECTS__REGION) or AWS_REGION.', cause: error })
  if (name === 'PermanentRedirect' || name === 'IllegalLocationConstraintException' || (name === 'AuthorizationHeaderMalformed' && /region/i.test(message)))
    return invalid('storage.wrong_region', `${what}: the bucket lies in another region: ${said}`, {
      hint: "Set objects.region to the bucket's region.",
      cause: error,
    })
  if (WRONG_KEY.test(name))
    return denied('storage.wrong_credentials', `${what}: the store does not accept the credentials: ${said}`, {
      hint: 'Check objects.accessKeyId and objects.secretAccessKey, or get a fresh session.',
      cause: error,
    })
  if (name === 'RequestTimeTooSkewed')
    return unavailable('storage.clock', `${what}: the clocks of this machine and the store differ too much`, {
      hint: 'Set the clock, for example by NTP.',
      cause: error,
    })
  if (status === 401 || status === 403)
    return denied('storage.denied', `${what}: the credentials have no permission for it: ${said}`, {
      hint: 'Give the key the permissions that docs/s3.md lists.',
      cause: error,
    })
  if (isNoBucket(fault))
    return missing('storage.no_bucket', `${what}: its bucket is not there`, { hint: 'Create it, for example with: aws s3 mb s3://BUCKET', cause: error })
  if (isAbsent(fault)) return missing('storage.missing_object', `${what}: it is not there`, { cause: error })
  if (name === 'InvalidBucketName')
    return invalid('storage.bad_bucket', `${what}: ${said}`, {
      hint: 'A bucket is named by 3 to 63 lower-case letters, digits, dots and hyphens. With objects.bucket everything lies below one bucket and other names are free.',
      cause: error,
    })
  if (PATH_TAKEN.test(name))
    return conflict('storage.path_taken', `${what}: ${said}`, { hint: 'Choose another name, or delete that object first.', cause: error })
  if (name === 'EntityTooLarge') return overLimit('storage.too_large', `${what}: ${said}`, { hint: 'Raise the limit of the store.', cause: error })
  if (status === 501)
    return unsupported('storage.not_implemented', `${what}: the store does not implement it: ${said}`, {
      hint: 'Use a newer version of the store; docs/s3.md lists what is needed.',
      cause: error,
    })
  if (status === 429 || name === 'SlowDown')
    return unavailable('storage.busy', `${what}: the store asks to slow down`, { hint: 'Try again in a moment.', cause: error })
  if (status >= 500)
    return unavailable('storage.failing', `${what}: the store failed with ${status}: ${said}`, { hint: 'Look at the log of the store.', cause: error })
  if (status === 0 && isOfDisk(name)) return toLagoaError(error)
  if (status === 0)
    return unavailable('storage.unreachable', `${what}: it does not answer: ${said}`, {
      hint: 'Check objects.endpoint and that this machine can reach it.',
      cause: error,
    })
  return invalid('storage.refused', `${what}: the store answered ${status}: ${said}`, {
    hint: 'Check the settings under objects; docs/s3.md explains them.',
    cause: error,
  })
}

/** This machine's disk, met while a file was carried. */
const isOfDisk = (name: string): boolean => /^(ENOSPC|EDQUOT|EROFS|EACCES|EMFILE)$/.test(name)

const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null)

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}
