/** What a failed method or connection means to the caller: reply codes of AMQP 0-9-1 (section 1.5 of its reference) and socket errors to LagoaErrors. */
import { bug, conflict, denied, errno, invalid, LagoaError, missing, overLimit, unavailable } from '../../../base/index.ts'
import { isNotTls, isUntrusted } from '../../../storage/index.ts'

const CHECK = 'Check that it runs, and that rabbitmq.url (LAGOA_RABBITMQ__URL) names it: amqps:// if it speaks TLS, else amqp://.'

/** `address` is `host:port`, never with a password. */
export function rabbitFault(thrown: unknown, address: string): LagoaError {
  if (thrown instanceof LagoaError) return thrown
  const cause = thrown instanceof Error ? thrown : new Error(String(thrown))
  if (isUntrusted(cause))
    return denied('alerts.rabbitmq_tls', `RabbitMQ at ${address} has a certificate that is not trusted: ${cause.message}`, {
      hint: 'Name the authority that signed it in rabbitmq.ca (LAGOA_RABBITMQ__CA, a PEM file), and the host as the certificate does.',
      cause,
    })
  if (isNotTls(cause))
    return denied('alerts.rabbitmq_tls', `RabbitMQ at ${address} does not speak TLS as it was asked to: ${cause.message}`, {
      hint: 'Write amqp:// instead of amqps:// in rabbitmq.url (LAGOA_RABBITMQ__URL), or the port where the broker speaks TLS.',
      cause,
    })
  const translate = REPLIES[replyCode(cause) ?? 0]
  if (translate) return translate(cause.message.replace(/^.*? with message "(.*)"$/s, '$1'), address, cause)
  if (cause instanceof RangeError) return overLimit('alerts.message_too_large', `A message does not fit into AMQP: ${cause.message}`, { cause })
  const unfit = /^Field '(\w+)' is the wrong type; must be a string \(up to 255 chars\)/.exec(cause.message)?.[1]
  if (unfit !== undefined)
    return invalid('alerts.message_unfit', `The ${FIELDS[unfit] ?? unfit} is longer than the 255 bytes that AMQP allows`, {
      hint: 'Choose a shorter one.',
      cause,
    })
  if (cause instanceof TypeError) return bug('alerts.rabbitmq', `The RabbitMQ client failed: ${cause.message}`, { cause })
  return rabbitAway(address, reasonOf(cause), cause)
}

export function rabbitAway(address: string, reason: string, cause?: unknown): LagoaError {
  return unavailable('alerts.rabbitmq_away', `RabbitMQ at ${address} cannot be reached: ${reason}`, { hint: CHECK, cause })
}

/** The reply code of a channel or connection that the broker closed; during the login it stands in the text alone. */
export function replyCode(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined
  if ('code' in error && typeof error.code === 'number') return error.code
  const told = /^(?:Handshake terminated by server|Connection closed|Channel closed by server): (\d{3}) /.exec(error.message)?.[1]
  return told === undefined ? undefined : Number(told)
}

function reasonOf(cause: Error): string {
  if (/Socket closed abruptly|Socket disconnected|secure TLS connection|Connection clos|Channel (ended|closed)|channel closed/i.test(cause.message))
    return 'it ended the connection'
  return SAID[errno(cause) ?? ''] ?? cause.message
}

const FIELDS: Readonly<Record<string, string>> = { queue: "queue's name", routingKey: "queue's name", messageId: "message's id" }

const SAID: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the host cannot be looked up now',
  ETIMEDOUT: 'no answer',
  ECONNRESET: 'it ended the connection',
  EPIPE: 'it ended the connection',
  EHOSTUNREACH: 'there is no way to the host',
}

type Translation = (said: string, address: string, cause: Error) => LagoaError

const refusedLogin: Translation = (_, address, cause) =>
  denied('alerts.rabbitmq_login', `RabbitMQ at ${address} refused the login`, {
    hint: 'Check user and password in rabbitmq.url (LAGOA_RABBITMQ__URL, or LAGOA_RABBITMQ__URL_FILE): amqp://user:password@host:5672. The user guest may log in from the broker itself only.',
    cause,
  })

const REPLIES: Readonly<Record<number, Translation>> = {
  403: (said, address, cause) =>
    /login was refused/i.test(said)
      ? refusedLogin(said, address, cause)
      : denied('alerts.rabbitmq_denied', `The user of RabbitMQ at ${address} may not do this: ${said}`, {
          hint: 'Grant it: rabbitmqctl set_permissions -p VHOST USER "QUEUES" ".*" "QUEUES"',
          cause,
        }),
  404: (said, address, cause) => missing('alerts.queue_missing', `RabbitMQ at ${address} has no such queue: ${said}`, { cause }),
  405: (said, address, cause) =>
    conflict('alerts.queue_taken', `A queue of RabbitMQ at ${address} belongs to another connection alone: ${said}`, {
      hint: 'Choose another name, or end the program that declared it as exclusive.',
      cause,
    }),
  406: (said, address, cause) =>
    /message size/i.test(said)
      ? overLimit('alerts.message_too_large', `RabbitMQ at ${address} takes no message as large: ${said}`, {
          hint: 'Raise max_message_size in rabbitmq.conf.',
          cause,
        })
      : conflict('alerts.queue_differs', `A queue of RabbitMQ at ${address} is there with other properties: ${said}`, {
          hint: 'Say in the rule what it is, as in queue(NAME, { durable: true }), or remove it when it is empty: rabbitmqctl delete_queue NAME',
          cause,
        }),
}

/** The broker says why it opens no virtual host, but the client library keeps it to itself. */
export function vhostFault(error: unknown, address: string, vhost: string): LagoaError | null {
  if (!(error instanceof Error && error.message.startsWith('Expected ConnectionOpenOk; got <ConnectionClose'))) return null
  return denied('alerts.rabbitmq_vhost', `RabbitMQ at ${address} does not let this user into the virtual host ${vhost}, or there is none`, {
    hint: `Make it with: rabbitmqctl add_vhost ${vhost}; and grant it: rabbitmqctl set_permissions -p ${vhost} USER ".*" ".*" ".*"`,
    cause: error,
  })
}
