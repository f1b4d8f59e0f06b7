/**
 * Telling other systems that a job is over, as Standard Webhooks says (https://www.standardwebhooks.com): a POST whose headers name the message,
 * its time and its signature, so that who gets it can tell that it is ours, new, and heard once.
 *
 * Where it goes is a user's word, and this machine can reach what the user cannot: itself, its neighbours, the cloud's metadata. So
 * an address must be public, whatever its name resolves to and at the moment of connecting, unless the configuration names the host; and
 * answers that point elsewhere are not followed.
 */
import { createHmac } from 'node:crypto'
import { lookup, type LookupAddress } from 'node:dns'
import { request as requestPlain } from 'node:http'
import { request as requestTls } from 'node:https'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { denied, invalid, unavailable } from '../base/index.ts'

export interface Message {
  /** The same for every try. */
  readonly id: string
  readonly body: string
}

export interface WebhookSender {
  /** Refuses what can be known to be no address that is served: a scheme, a literal address inside, a login in it. */
  check(url: string): void
  /** Resolves when it was taken; rejects with why not. A try takes at most fifteen seconds. */
  send(url: string, message: Message, signal: AbortSignal): Promise<void>
}

export interface WebhookOptions {
  /** `whsec_` and the base64 of 24 to 64 bytes; without it there are no webhooks. */
  readonly secret: string | undefined
  /** `host` or `host:port` that may be addresses of this machine or its network. */
  readonly hosts: readonly string[]
}

const TIMEOUT_MS = 15_000
const SECRET = /^whsec_([A-Za-z0-9+/]+={0,2})$/

export function createWebhookSender({ secret, hosts }: WebhookOptions): WebhookSender {
  const allowed = new Set(hosts.map((host) => host.toLowerCase()))

  function checked(text: string): { readonly url: URL; readonly inside: boolean } {
    if (secret === undefined)
      throw invalid('process.no_webhook_secret', 'Webhooks are signed, and there is no secret to sign them with', {
        hint: 'Set one: export LAGOA_PROCESS__WEBHOOK_SECRET=whsec_$(openssl rand -base64 32)',
      })
    const url = URL.parse(text)
    if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.username !== '' || url.password !== '')
      throw invalid('process.webhook_url', `${JSON.stringify(text.slice(0, 200))} is no address for a webhook`, {
        hint: 'Write https://host/path, without a login in it.',
      })
    const name = bare(url.hostname)
    const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port
    const inside = allowed.has(name) || allowed.has(url.hostname) || allowed.has(`${url.hostname}:${port}`)
    if (!inside && isIP(name) !== 0 && !isPublic(name)) throw insideFault(name)
    return { url, inside }
  }

  return {
    check: (url) => void checked(url),
    send(address, { id, body }, signal) {
      const { url, inside } = checked(address)
      const timestamp = Math.floor(Date.now() / 1000)
      const stop = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)])
      return new Promise((done, fail) => {
        const request = (url.protocol === 'https:' ? requestTls : requestPlain)(url, {
          method: 'POST',
          signal: stop,
          // No connection is kept: one that was made for another name might be reused.
          agent: false,
          ...(inside ? {} : { lookup: publicOnly }),
          headers: {
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(body),
            'user-agent': 'lagoa',
            'webhook-id': id,
            'webhook-timestamp': String(timestamp),
            'webhook-signature': signatureOf(secret ?? '', { id, body }, timestamp),
          },
        })
        request.once('response', (response) => {
          const status = response.statusCode ?? 0
          // What it says beside its status is nobody's business here.
          response.destroy()
          if (status >= 200 && status < 300) done()
          else fail(unavailable('process.webhook_status', `${url.host} answered ${status}`, { hint: status === 410 ? GONE : undefined }))
        })
        request.once('error', (error) =>
          fail(
            signal.aborted
              ? signal.reason
              : stop.aborted
                ? unavailable('process.webhook_timeout', `${url.host} did not answer within ${TIMEOUT_MS / 1000} s`)
                : unavailable('process.webhook_failed', `${url.host} cannot be reached: ${error.message}`, { cause: error }),
          ),
        )
        request.end(body)
      })
    },
  }
}

const GONE = 'It does not want any more.'
/** Who was told 410 once need not be told again. */
export const isGone = ({ hint }: { readonly hint: string | undefined }): boolean => hint === GONE

export const isSecret = (text: string): boolean => {
  const length = Buffer.from(SECRET.exec(text)?.[1] ?? '', 'base64').length
  return length >= 24 && length <= 64
}

/** `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`. */
function signatureOf(secret: string, { id, body }: Message, timestamp: number): string {
  const key = Buffer.from(SECRET.exec(secret)?.[1] ?? '', 'base64')
  return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`
}

/** Resolves a name to its addresses, and fails when one of them is inside: a name that has both is a trick. */
const publicOnly: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
    if (error) return callback(error, [])
    const hidden = addresses.find(({ address }) => !isPublic(address))
    if (hidden) return callback(insideFault(`${hostname} (${hidden.address})`), [])
    const [first] = addresses
    if (options.all === true || first === undefined) return callback(null, addresses)
    return callback(null, first.address, first.family)
  })
}

const insideFault = (host: string): Error =>
  denied('process.webhook_inside', `${host} is an address of this machine or its network, where no webhook goes`, {
    hint: 'Name its host in process.webhookHosts of the configuration if it should.',
  })

const bare = (hostname: string): string => hostname.replace(/^\[|\]$/g, '').toLowerCase()

/** Of the registries of special-purpose addresses (RFC 6890, and what IANA added): what is not globally reachable. */
const HIDDEN = new BlockList()
for (const [net, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const)
  HIDDEN.addSubnet(net, bits, 'ipv4')
/** Within 2000::/3: documentation, and what carries an IPv4 address inside. */
for (const [net, bits] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const)
  HIDDEN.addSubnet(net, bits, 'ipv6')
const GLOBAL_SIX = new BlockList()
GLOBAL_SIX.addSubnet('2000::', 3, 'ipv6')

function isPublic(address: string): boolean {
  if (isIP(address) === 4) return !HIDDEN.check(address, 'ipv4')
  return isIP(address) === 6 && GLOBAL_SIX.check(address, 'ipv6') && !HIDDEN.check(address, 'ipv6')
}
