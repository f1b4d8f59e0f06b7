/** Users' Python over a data set: written with what would be refused beside it, run behind walls, its result looked at, kept to be run again. */
import './transforms.css'
import { Button } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { Ban, Play, Save } from 'lucide-react'
import { useDeferredValue, useState } from 'react'
import { ApiError, findingsQuery, jobsQuery, type JobShape, post, submitJob, transformsQuery } from '../../api/index.ts'
import { DataGrid } from '../../ui/data-grid.tsx'
import { Fact, Mark, PageHead } from '../../ui/parts.tsx'
import { Dialog } from '../../ui/dialog.tsx'
import { Empty, InlineProblem, problemText } from '../../ui/states.tsx'
import { toast } from '../../ui/toasts.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { firstCode } from './code.ts'
import { CodeEditor } from './editor.tsx'
import { type FollowedJob, useJob } from './job.ts'

const route = getRouteApi('/transforms')
type Limits = { dataset: string; timeout: string; memory: string }

export function TransformsScreen() {
  const { say } = useWords()
  const { job: followed } = route.useSearch()
  const navigate = route.useNavigate()
  const [code, setCode] = useState(firstCode)
  const [limits, setLimits] = useState<Limits>({ dataset: '', timeout: '120', memory: '2048' })
  const [saving, setSaving] = useState(false)
  const [place, setPlace] = useState<{ line: number }>()
  const settled = useDeferredValue(code)
  const checked = useQuery(findingsQuery(settled))
  const findings = checked.data?.findings ?? []
  const saved = useQuery(transformsQuery).data?.items ?? []
  const jobs = useQuery(jobsQuery).data?.items ?? []
  const job = useJob(followed)
  const goesOn = followed !== undefined && job.end === undefined
  const run = useMutation({
    mutationFn: () => submitJob({ dataset_path: limits.dataset.trim(), code, timeout: Number(limits.timeout), max_memory: Number(limits.memory) }),
    onSuccess: ({ job_id }) => void navigate({ search: { job: job_id }, replace: true }),
  })
  const cancel = useMutation({
    mutationFn: () => post<JobShape>(`process/jobs/${encodeURIComponent(followed ?? '')}/cancel`),
    onError: (error) => toast('bad', problemText(error, say('error.unreachable')), error instanceof ApiError ? error.hint : undefined),
  })
  const mayRun = limits.dataset.trim() !== '' && code.trim() !== '' && Number(limits.timeout) > 0 && Number(limits.memory) > 0
  const start = (): void => {
    if (mayRun && !run.isPending) run.mutate()
  }
  const choose = (id: string): void => {
    const chosen = saved.find((one) => one.id === id)
    if (chosen === undefined) {
      setCode(firstCode)
      return
    }
    const params = chosen.params as { code?: string; source?: string; timeout?: number; memory?: number }
    setCode(params.code ?? '')
    setLimits((old) => ({ dataset: params.source ?? '', timeout: String(params.timeout ?? old.timeout), memory: String(params.memory ?? old.memory) }))
  }
  return (
    <>
      <PageHead
        title={say(goesOn ? 'transforms.title.running' : 'page.transforms')}
        sub={say('transforms.sub')}
        actions={
          <>
            <Button leftSection={<Save aria-hidden />} disabled={!mayRun} onClick={() => setSaving(true)}>
              {say('transforms.save')}
            </Button>
            {goesOn ? (
              <Button leftSection={<Ban aria-hidden />} loading={cancel.isPending} onClick={() => cancel.mutate()}>
                {say('run.cancel')}
              </Button>
            ) : (
              <Button variant="filled" leftSection={<Play aria-hidden />} loading={run.isPending} disabled={!mayRun} onClick={start}>
                {say('transforms.run')}
              </Button>
            )}
          </>
        }
      />
      {run.isError && (
        <InlineProblem title={problemText(run.error, say('error.unreachable'))} hint={run.error instanceof ApiError ? run.error.hint : undefined} />
      )}
      {checked.isError && (
        <InlineProblem title={problemText(checked.error, say('error.unreachable'))} hint={checked.error instanceof ApiError ? checked.error.hint : undefined} />
      )}
      <div className="transforms">
        <section className="panel" aria-label={say('transforms.code')}>
          <div className="panel-head list-filters">
            <label className="transform-field wide">
              <span>{say('transforms.dataset')}</span>
              <input
                className="text-input mono"
                list="datasets"
                placeholder="bucket/path/file.csv"
                spellCheck={false}
                value={limits.dataset}
                onChange={(event) => setLimits({ ...limits, dataset: event.currentTarget.value })}
              />
              <datalist id="datasets">
                {[...new Set(jobs.map(({ dataset_path: dataset }) => dataset))].map((dataset) => (
                  <option key={dataset} value={dataset} />
                ))}
              </datalist>
            </label>
            <label className="transform-field">
              <span>{say('transforms.timeout')}</span>
              <input
                className="text-input"
                type="number"
                min={1}
                value={limits.timeout}
                onChange={(event) => setLimits({ ...limits, timeout: event.currentTarget.value })}
              />
            </label>
            <label className="transform-field">
              <span>{say('transforms.memory')}</span>
              <input
                className="text-input"
                type="number"
                min={1}
                value={limits.memory}
                onChange={(event) => setLimits({ ...limits, memory: event.currentTarget.value })}
              />
            </label>
            <label className="transform-field">
              <span>{say('transforms.saved')}</span>
              <select className="select" defaultValue="" onChange={(event) => choose(event.currentTarget.value)}>
                <option value="">{say('transforms.example')}</option>
                {saved.map(({ id, name }) => (
                  <option key={id} value={id}>
                    {name}
                  </option>
                ))}
              </select>
            </label>
          </div>
          <CodeEditor code={code} findings={findings} place={place} onChange={setCode} onRun={start} />
          <div id="findings" className="findings" role="status">
            {findings.length === 0 ? (
              <p className="quiet">{say(checked.isPending || settled !== code ? 'transforms.checking' : 'transforms.sound')}</p>
            ) : (
              <ul>
                {findings.map((finding, i) => (
                  <li key={i}>
                    <button type="button" className="plain-button" onClick={() => setPlace({ line: finding.line })}>
                      <Mark tone="bad" /> {say('transforms.line', { line: finding.line })}
                    </button>
                    <span>
                      {finding.message} <span className="quiet">{finding.hint}</span>
                    </span>
                  </li>
                ))}
              </ul>
            )}
          </div>
        </section>
        <Outcome job={job} isAsked={followed !== undefined} onLine={(line) => setPlace({ line })} />
      </div>
      {saving && (
        <SaveDialog
          params={{ source: limits.dataset.trim(), code, timeout: Number(limits.timeout), memory: Number(limits.memory) }}
          onClose={() => setSaving(false)}
        />
      )}
    </>
  )
}

function Outcome({ job: { head, lines, end }, isAsked, onLine }: { job: FollowedJob; isAsked: boolean; onLine: (line: number) => void }) {
  const { say, format } = useWords()
  const good = end?.status === 'success'
  return (
    <section className="panel transform-outcome" aria-label={say('transforms.result')}>
      <div className="panel-head">
        <h2>{say('transforms.result')}</h2>
        <div className="right" role="status">
          {end !== undefined ? (
            <>
              <Mark tone={good ? 'ok' : 'bad'} /> {say(`transforms.status.${end.status}`)}
            </>
          ) : head !== undefined ? (
            say(`transforms.phase.${head.progress?.phase ?? 'queued'}`)
          ) : isAsked ? (
            say('state.loading')
          ) : null}
        </div>
      </div>
      {!isAsked && <Empty title={say('transforms.none.title')}>{say('transforms.none.text')}</Empty>}
      {end !== undefined && !good && (
        <div className="inline-problem" role="alert">
          <Mark tone="bad" />
          <div>
            <strong>{end.message ?? say(`transforms.status.${end.status}`)}</strong>
            {end.line !== null && (
              <div>
                <button type="button" className="plain-button transform-go" onClick={() => onLine(end.line ?? 1)}>
                  {say('transforms.goToLine', { line: end.line })}
                </button>
              </div>
            )}
            {end.traceback !== null && <pre className="transform-trace">{end.traceback}</pre>}
          </div>
        </div>
      )}
      {end !== undefined && (
        <dl className="facts">
          {end.rows !== null && <Fact label={say('transforms.rows')}>{format.number(end.rows)}</Fact>}
          {end.execution_time !== null && <Fact label={say('transforms.time')}>{format.span(end.execution_time * 1000)}</Fact>}
          {end.peak_memory !== null && <Fact label={say('transforms.peak')}>{format.bytes(end.peak_memory)}</Fact>}
          {end.parquet_path !== null && (
            <Fact label={say('transforms.parquet')}>
              <span className="mono">{end.parquet_path}</span>
            </Fact>
          )}
          <Fact label={say('transforms.job')}>
            <Link to="/runs/$id" params={{ id: end.job_id }} className="link mono">
              {end.job_id.slice(0, 13)}
            </Link>
          </Fact>
        </dl>
      )}
      {end?.columns !== null && end?.columns !== undefined && good && (
        <>
          <p className="quiet transform-note">{say('transforms.preview', { rows: format.number(end.preview.length) })}</p>
          <DataGrid
            label={say('transforms.preview', { rows: format.number(end.preview.length) })}
            maxHeight="420px"
            result={{
              columns: end.columns.map((name, i) => ({ name, type: end.types?.[i] ?? 'varchar' })),
              rows: end.preview,
              truncated: (end.rows ?? 0) > end.preview.length,
              elapsedMs: 0,
            }}
          />
        </>
      )}
      {lines.length > 0 && (
        <div className="transform-log" role="log" tabIndex={0} aria-label={say('transforms.log')}>
          {lines.map((line, i) => (
            <div key={i}>{line}</div>
          ))}
        </div>
      )}
    </section>
  )
}

function SaveDialog({ params, onClose }: { params: { source: string; code: string; timeout: number; memory: number }; onClose: () => void }) {
  const { say } = useWords()
  const client = useQueryClient()
  const [name, setName] = useState('')
  const save = useMutation({
    mutationFn: () => post('workloads', { name: name.trim(), kind: 'python', params }),
    onSuccess: () => {
      toast('ok', say('transforms.wasSaved', { name: name.trim() }))
      void client.invalidateQueries({ queryKey: ['workloads'] })
      onClose()
    },
  })
  return (
    <Dialog title={say('transforms.save.title')} size={460} onClose={onClose}>
      {save.isError && (
        <InlineProblem title={problemText(save.error, say('error.unreachable'))} hint={save.error instanceof ApiError ? save.error.hint : undefined} />
      )}
      <form
        onSubmit={(event) => {
          event.preventDefault()
          if (name.trim() !== '') save.mutate()
        }}
      >
        <label className="transform-field wide">
          <span>{say('workloads.column.name')}</span>
          <input className="text-input" data-autofocus value={name} maxLength={200} onChange={(event) => setName(event.currentTarget.value)} />
        </label>
        <p className="quiet">{say('transforms.save.text')}</p>
        <div className="dialog-acts">
          <Button onClick={onClose}>{say('action.cancel')}</Button>
          <Button type="submit" variant="filled" loading={save.isPending} disabled={name.trim() === ''}>
            {say('transforms.save')}
          </Button>
        </div>
      </form>
    </Dialog>
  )
}
