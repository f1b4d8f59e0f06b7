/**
 * What a local service is. Each sibling named by a technology says which programs it needs, what it keeps, how it is started and when it
 * answers; starting, adopting and stopping are the same for all. A service listens on loopback alone and keeps everything below its folder.
 */
import type { Machine } from './machine.ts'
import type { Settings } from './settings.ts'

export interface Service {
  readonly name: string
  readonly group: string
  /** What people call it: `Apache Kafka`. */
  readonly title: string
  /** The ports and texts that are chosen once, when the service is first started. */
  readonly ports: readonly string[]
  fresh(): Readonly<Record<string, string>>
  /** Looks for the programs; rejects with kind `missing` and the line that gets them. */
  find(machine: Machine): Promise<Installed>
  /** Where it listens, without a secret. */
  address(settings: Settings): string
  /** What a shell exports for those who use it, secrets included. */
  variables(settings: Settings): Readonly<Record<string, string>>
  /** Asks once in the service's own protocol; rejects when it is not ready. Takes a bounded time. */
  ask(settings: Settings, signal: AbortSignal): Promise<void>
  /** How long it may take until it answers: after a crash it may have much to read. */
  readonly startLimitMs: number
  /** The signals that end it, the kindest first. */
  readonly ending: readonly NodeJS.Signals[]
}

/** The programs that were found: makes what the folder lacks and answers what is to run, in this order; the last is the service itself. */
export type Installed = (site: Site) => Promise<readonly Program[]>

export interface Site {
  readonly folder: string
  readonly settings: Settings
  readonly signal: AbortSignal
}

export interface Program {
  /** Within the service: its record and its log are named after it. */
  readonly name: string
  readonly command: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Where it will listen; must be free before it starts. */
  readonly ports: readonly number[]
  /** Whom to be when this process is root. */
  readonly user?: { readonly uid: number; readonly gid: number }
  /** Last words after which another try may succeed: something of a killed server was still there. */
  readonly tryAgain?: RegExp
}

/** The name of the program that is the service itself. */
export const SERVER = 'server'
