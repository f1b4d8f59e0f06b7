/** One question to a server over a plain loopback connection, and the bytes of its answer. */
import { connect } from 'node:net'
import { unavailable } from '../base/index.ts'

const ANSWERS_WITHIN_MS = 3_000
const LONGEST_ANSWER = 65_536

/** Resolves with what came when `enough` says so; rejects when the connection ends first, or after three seconds. */
export function ask(port: number, question: Uint8Array | string, enough: (answer: Buffer) => boolean, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWERS_WITHIN_MS)])
    const socket = connect({ port, host: '127.0.0.1' })
    let answer = Buffer.alloc(0)
    const finish = (done: () => void): void => {
      limit.removeEventListener('abort', onAbort)
      socket.destroy()
      done()
    }
    const refuse = (why: string): void =>
      finish(() => reject(signal.aborted ? signal.reason : unavailable('services.no_answer', `127.0.0.1:${port} ${why}`, { hint: 'It may need a moment.' })))
    const onAbort = (): void => refuse('does not answer')
    limit.addEventListener('abort', onAbort, { once: true })
    socket.once('error', (error) => refuse(error.message))
    socket.once('end', () => refuse('hangs up'))
    socket.once('connect', () => socket.write(question))
    socket.on('data', (chunk) => {
      answer = Buffer.concat([answer, chunk])
      if (enough(answer)) finish(() => resolve(answer))
      else if (answer.length > LONGEST_ANSWER) refuse('says too much')
    })
  })
}

/** Whether something takes connections there. */
export function accepts(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ port, host: '127.0.0.1' }, () => {
      socket.destroy()
      done(true)
    }).once('error', () => done(false))
  })
}
