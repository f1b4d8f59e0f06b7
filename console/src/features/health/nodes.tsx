/** The nodes that run the project on one database, and which carries what. */
import { useQuery } from '@tanstack/react-query'
import { nodesQuery, type NodeShape } from '../../api/index.ts'
import { Mark, Panel, Tag } from '../../ui/parts.tsx'
import { Failure, LoadingRows } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'

/** A node says every second or so that it is there; the list leaves out who was silent for a lease. */
const silentMs = 3_000

export function Nodes({ now }: { now: number }) {
  const { say, format } = useWords()
  const nodes = useQuery(nodesQuery)
  return (
    <Panel
      title={say('health.nodes')}
      tag={nodes.data === undefined ? undefined : <Tag kind="plain">{format.number(nodes.data.items.length)}</Tag>}
      className="nodes"
    >
      {nodes.data === undefined ? (
        nodes.isError ? (
          <Failure error={nodes.error} onRetry={() => void nodes.refetch()} />
        ) : (
          <LoadingRows rows={2} />
        )
      ) : (
        <ul>
          {nodes.data.items.map((node) => (
            <Node key={node.id} node={node} now={now} old={nodes.isError} />
          ))}
        </ul>
      )}
    </Panel>
  )
}

function Node({ node, now, old }: { node: NodeShape; now: number; old: boolean }) {
  const { say, format } = useWords()
  const silent = old || now - node.seenAt > silentMs + 6_000
  return (
    <li className="row node-row">
      <Mark tone={silent ? 'warn' : 'ok'} label={say(silent ? 'health.node.silent' : 'health.node.seen')} />
      <div className="what">
        <div className="facts-line">
          <strong className="mono">{node.url}</strong>
          {node.self && <Tag kind="run">{say('health.node.self')}</Tag>}
          <span className="quiet small">{say('health.node.process', { host: node.host, pid: node.pid })}</span>
          {silent && <span className="c-warn small">{say('health.node.seenAgo', { ago: format.ago(node.seenAt, now) })}</span>}
        </div>
        {node.duties.length === 0 ? (
          <div className="quiet small">{say('health.node.idle')}</div>
        ) : (
          <ul className="duties" aria-label={say('health.node.duties', { n: node.duties.length })}>
            {node.duties.map((duty) => (
              <li key={duty} className="mono">
                {duty}
              </li>
            ))}
          </ul>
        )}
      </div>
    </li>
  )
}
