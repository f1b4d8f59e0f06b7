/** What a stream declares, where its records lie, and how far each lane has come. */
import { Button } from '@mantine/core'
import { Link } from '@tanstack/react-router'
import { useState } from 'react'
import type { StreamDetail } from '../../api/index.ts'
import { fieldLabel, unitLabel } from '../../ui/format.ts'
import { Mark, Panel, Tag, type Tone } from '../../ui/parts.tsx'
import { useWords } from '../../ui/words/index.tsx'

type Lane = StreamDetail['lanes'][number]

const laneTone: Readonly<Record<Lane['state'], Tone>> = { running: 'ok', retrying: 'bad', stopped: 'off', elsewhere: 'run' }
const mostLanes = 40

export function StreamOverview({ stream }: { stream: StreamDetail }) {
  return (
    <div className="grid">
      <Lanes stream={stream} />
      <div className="stream-columns">
        <Partitions stream={stream} />
        <Schema stream={stream} />
      </div>
    </div>
  )
}

function Lanes({ stream }: { stream: StreamDetail }) {
  const { say, format } = useWords()
  const [all, setAll] = useState(false)
  const nodes = new Map(stream.carriers.map(({ partition, node }) => [partition, node]))
  const several = new Set(stream.carriers.map(({ node }) => node.url)).size > 1
  const worst = (lane: Lane): number => (lane.state === 'retrying' ? 0 : 1)
  const ordered = stream.lanes.toSorted((a, b) => worst(a) - worst(b))
  const shown = all ? ordered : ordered.slice(0, mostLanes)
  return (
    <Panel title={say('lanes.title')} right={<span className="wide-only">{say('lanes.about')}</span>}>
      <div className="scroll-x" tabIndex={0} role="group" aria-label={say('lanes.title')}>
        <table className="list-table lanes">
          <thead>
            <tr>
              <th scope="col">{say('lanes.sink')}</th>
              <th scope="col" className="num">
                {say('stream.partition')}
              </th>
              <th scope="col">{say('streams.column.state')}</th>
              <th scope="col" className="num">
                {say('lanes.position')}
              </th>
              <th scope="col" className="num">
                {say('lanes.lag')}
              </th>
              <th scope="col">{say('lanes.node')}</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((lane) => {
              const node = nodes.get(lane.partition)
              return (
                <tr key={`${lane.sink} ${lane.partition}`}>
                  <td>
                    <SinkName lane={lane} stream={stream.name} />
                  </td>
                  <td className="num">{lane.partition}</td>
                  <td className={lane.error === undefined ? undefined : 'lane-error'}>
                    <span className={lane.state === 'retrying' ? 'state c-bad' : 'state'}>
                      <Mark tone={laneTone[lane.state]} />
                      {say(`lane.${lane.state}`)}
                    </span>
                    {lane.error !== undefined && <div className="quiet small">{lane.error}</div>}
                  </td>
                  <td className="num">{format.number(lane.position)}</td>
                  <td className="num">{format.number(lane.lag)}</td>
                  <td className="quiet" title={node?.url}>
                    {node === undefined ? say('lanes.nobody') : several ? `${node.host}${node.here ? ` (${say('lanes.here')})` : ''}` : node.host}
                  </td>
                </tr>
              )
            })}
          </tbody>
        </table>
      </div>
      {ordered.length > shown.length && (
        <div className="more">
          <Button onClick={() => setAll(true)}>{say('lanes.all', { n: ordered.length })}</Button>
        </div>
      )}
    </Panel>
  )
}

function SinkName({ lane, stream }: { lane: Lane; stream: string }) {
  const { say } = useWords()
  const kind = <Tag kind="plain">{say(`sink.${lane.kind}`)}</Tag>
  const name = lane.sink.slice(lane.sink.indexOf(':') + 1)
  const link =
    lane.kind === 'table' ? (
      <Link to="/lake/$name" params={{ name }} className="link">
        {name}
      </Link>
    ) : lane.kind === 'alerts' ? (
      <Link to="/alerts" search={{ tab: 'rules' }} className="link">
        {say('alerts.rules')}
      </Link>
    ) : lane.kind === 'live' ? (
      <Link to="/live" search={{ stream }} className="link">
        {name}
      </Link>
    ) : lane.kind === 'dead_letters' ? (
      <Link to="/streams/$name" params={{ name: stream }} search={{ tab: 'letters' }} className="link">
        {stream}.dlq
      </Link>
    ) : (
      <span>{name}</span>
    )
  return (
    <span className="sink-name">
      {kind}
      {link}
    </span>
  )
}

function Partitions({ stream }: { stream: StreamDetail }) {
  const { say, format } = useWords()
  const total = stream.partitions.reduce((sum, { bytes }) => sum + bytes, 0)
  return (
    <Panel title={say('partitions.title')} tag={<Tag kind="plain">{format.number(stream.partitions.length)}</Tag>} right={format.bytes(total)}>
      {stream.partitions.length === 0 ? (
        <div className="row quiet">{say('partitions.unknown')}</div>
      ) : (
        <div className="scroll-x partitions" tabIndex={0} role="group" aria-label={say('partitions.title')}>
          <table className="list-table">
            <thead>
              <tr>
                <th scope="col" className="num">
                  {say('stream.partition')}
                </th>
                <th scope="col" className="num">
                  {say('partitions.first')}
                </th>
                <th scope="col" className="num">
                  {say('partitions.last')}
                </th>
                <th scope="col" className="num">
                  {say('partitions.kept')}
                </th>
                <th scope="col" className="num">
                  {say('lake.column.bytes')}
                </th>
              </tr>
            </thead>
            <tbody>
              {stream.partitions.map(({ partition, earliest, next, bytes }) => (
                <tr key={partition}>
                  <td className="num">
                    <Link to="/streams/$name" params={{ name: stream.name }} search={{ tab: 'records', partition }} className="link">
                      {partition}
                    </Link>
                  </td>
                  <td className="num">{next > earliest ? format.number(earliest) : '–'}</td>
                  <td className="num">{next > earliest ? format.number(next - 1) : '–'}</td>
                  <td className="num">{format.number(next - earliest)}</td>
                  <td className="num">{format.bytes(bytes)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  )
}

function Schema({ stream }: { stream: StreamDetail }) {
  const { say } = useWords()
  return (
    <Panel title={say('table.tab.schema')}>
      <div className="scroll-x" tabIndex={0} role="group" aria-label={say('table.tab.schema')}>
        <table className="list-table">
          <thead>
            <tr>
              <th scope="col">{say('schema.column')}</th>
              <th scope="col">{say('schema.type')}</th>
              <th scope="col">{say('schema.unit')}</th>
              <th scope="col">{say('schema.nullable')}</th>
              <th scope="col">{say('schema.description')}</th>
            </tr>
          </thead>
          <tbody>
            {stream.fields.map((field) => (
              <tr key={field.name}>
                <td>
                  <b>{field.name}</b> {fieldLabel(field.name) !== field.name && <span className="quiet">{fieldLabel(field.name)}</span>}{' '}
                  {field.name === stream.key && <Tag kind="plain">{say('streams.column.key')}</Tag>}
                  {field.name === stream.eventTime && <Tag kind="plain">{say('stream.eventTime')}</Tag>}
                </td>
                <td className="mono">{field.type}</td>
                <td>{field.unit === undefined ? '' : unitLabel(field.unit)}</td>
                <td>{say(field.nullable ? 'schema.nullable.yes' : 'schema.nullable.no')}</td>
                <td>{field.description}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  )
}
