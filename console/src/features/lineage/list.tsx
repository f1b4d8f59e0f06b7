/** The graph as a list, step by step from its beginning: for narrow screens, and for whoever reads with a keyboard or a screen reader. */
import type { LineageNode, LineageShape } from '../../api/index.ts'
import { kindIcons, placeName, tierOf } from '../../ui/assets.ts'
import { Mark, Tag } from '../../ui/parts.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { effectTone, sentence } from './impact.tsx'
import { type Effect, sentenceOfUse } from './sentences.ts'

type ListProps = {
  graph: LineageShape
  trace: LineageShape | undefined
  inspected: string
  effects: ReadonlyMap<string, Effect> | undefined
  onInspect: (asset: string) => void
  onTrace: (asset: string, column: string) => void
}

export function LineageList({ graph, ...rest }: ListProps) {
  const { say } = useWords()
  const steps = [...Map.groupBy(graph.nodes, (node) => node.distance)].toSorted(([a], [b]) => a - b)
  const title = (distance: number): string =>
    distance === 0 ? say('lineage.step.start') : distance < 0 ? say('lineage.step.up', { n: -distance }) : say('lineage.step.down', { n: distance })
  return (
    <div className="steps">
      {steps.map(([distance, nodes]) => (
        <section key={distance} aria-label={title(distance)}>
          <h2>{title(distance)}</h2>
          <ul>
            {nodes.map((node) => (
              <Step key={node.id} node={node} graph={graph} {...rest} />
            ))}
          </ul>
        </section>
      ))}
    </div>
  )
}

function Step({ node, graph, trace, inspected, effects, onInspect, onTrace }: ListProps & { node: LineageNode }) {
  const { say, format } = useWords()
  const tier = tierOf(node.id)
  const Icon = kindIcons[node.kind]
  const effect = effects?.get(node.id)
  const made = [
    ...new Set(graph.edges.filter(({ from, to }) => to.asset === node.id && from.asset !== node.id).map(({ from }) => placeName({ asset: from.asset }))),
  ]
  const ways = (trace?.edges ?? []).filter(({ from, to }) => to.asset === node.id && from.asset !== node.id)
  return (
    <li className={node.id === inspected ? 'step inspected' : 'step'}>
      <div className="step-head">
        <button type="button" className="plain-button link" aria-pressed={node.id === inspected} onClick={() => onInspect(node.id)}>
          {node.name}
        </button>
        <Tag kind={tier ?? 'plain'}>
          <Icon aria-hidden size={12} />
          {tier === undefined ? say(`asset.${node.kind}`) : say(`tier.${tier}`)}
        </Tag>
        {effect !== undefined && (
          <span className="state">
            <Mark tone={effectTone[effect]} />
            {say(`impact.word.${effect}`)}
          </span>
        )}
        {node.columnCount > 0 && <span className="quiet small right">{say('lineage.columns', { n: node.columnCount })}</span>}
      </div>
      {ways.length > 0 ? (
        <ul className="step-ways">
          {ways.map(({ from, to, how, use }, i) => (
            <li key={i}>
              {to.column !== undefined && (
                <button type="button" className="plain-button link mono" onClick={() => onTrace(node.id, to.column ?? '')}>
                  {to.column}
                </button>
              )}{' '}
              {use === undefined ? say(`how.by.${how}`, { from: placeName(from) }) : sentence(say, sentenceOfUse(use, placeName(from)))}
            </li>
          ))}
        </ul>
      ) : (
        <div className="quiet small">
          {made.length > 0 && say('table.madeFrom', { from: format.list(made) })}
          {made.length === 0 && node.description}
        </div>
      )}
    </li>
  )
}
