/** Follows a job to its end: where it stands, what it prints, what came of it. */
import { useEffect, useState } from 'react'
import type { JobHeadShape, JobShape } from '../../api/index.ts'

export interface FollowedJob {
  readonly head: JobHeadShape | undefined
  readonly lines: readonly string[]
  readonly end: JobShape | undefined
}

const nothing: FollowedJob = { head: undefined, lines: [], end: undefined }
const mostLines = 2_000

export function useJob(id: string | undefined): FollowedJob {
  const [job, setJob] = useState<FollowedJob>(nothing)
  useEffect(() => {
    setJob(nothing)
    if (id === undefined) return
    const source = new EventSource(`/api/v1/process/jobs/${encodeURIComponent(id)}/events`)
    const on = (name: string, take: (data: string) => (old: FollowedJob) => FollowedJob): void =>
      source.addEventListener(name, (event: MessageEvent<string>) => setJob(take(event.data)))
    on('status', (data) => (old) => ({ ...old, head: JSON.parse(data) as JobHeadShape }))
    on('log', (data) => (old) => ({ ...old, lines: [...old.lines.slice(-mostLines), (JSON.parse(data) as { line: string }).line] }))
    on('end', (data) => (old) => {
      // An event source that is not closed comes again.
      source.close()
      return { ...old, end: JSON.parse(data) as JobShape }
    })
    return () => source.close()
  }, [id])
  return job
}
