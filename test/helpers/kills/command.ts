/** A command that is to be killed at its write steps, and what the killer tells the process that runs it. */
import type { Place } from '../../../src/lake/delta/index.ts'

export interface Site extends Place {
  /** A folder for files beside the objects. */
  readonly work: string
}

export interface Command {
  readonly name: string
  /** The roots of the tables that it may change. */
  readonly tables: readonly string[]
  /** Makes what the command finds. */
  prepare(site: Site): Promise<unknown>
  run(site: Site): Promise<unknown>
  /** How it goes on after a kill; `run` by default. */
  again?(site: Site): Promise<unknown>
  /** The code of the error with which it refuses to be done twice. */
  readonly refuses?: string
  /** Doing it once more does more. */
  readonly once?: boolean
  /** The columns to compare, where others are of the moment. */
  readonly columns?: readonly string[]
  /** What else is to be the same at the end. */
  also?(site: Site): Promise<unknown>
}

/** What a child is told: which command to run, where, and at which step to die; null for a run without harm. */
export interface Order {
  readonly command: string
  /** Of the objects. */
  readonly folder: string
  readonly work: string
  readonly spill: string
  readonly death: Death | null
}

export interface Death {
  readonly step: string
  readonly moment: 'before' | 'after'
}

export const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g

/** A name of a step that is the same in each run. */
export function stepName(kind: string, path: string): string {
  return `${kind} ${path.replaceAll(UUID, '*')}`
}
