/** The drawing: boxes of assets with their columns, and lines between them. Every box and row is a button, in reading order. */
import { type Node, type NodeProps, useUpdateNodeInternals } from '@xyflow/react'
import { ChevronDown } from 'lucide-react'
import { createContext, useContext, useEffect, useMemo } from 'react'
import { kindIcons, placeName, tierOf } from '../../ui/assets.ts'
import { Ends, type GraphDrawing, GraphCanvas } from '../../ui/graph/canvas.tsx'
import type { Layouts } from '../../ui/graph/layout.ts'
import { Mark } from '../../ui/parts.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { type DrawnNode, type Drawing, headHeight, type LineKind, nodeWidth, rowHeight } from './drawing.ts'
import { effectTone } from './impact.tsx'
import type { Effect } from './sentences.ts'

export type GraphProps = {
  drawing: Drawing
  layouts: Layouts
  /** Where the graph begins, and which asset the panel tells about. */
  start: string
  inspected: string
  effects: ReadonlyMap<string, Effect> | undefined
  onInspect: (asset: string) => void
  onTrace: (asset: string, column: string) => void
  onOpen: (asset: string) => void
}

type Box = Node<{ drawn: DrawnNode }, 'asset'>
const nodeTypes = { asset: AssetBox }
const Acts = createContext<Omit<GraphProps, 'drawing' | 'layouts'>>({ start: '', inspected: '', effects: undefined, onInspect() {}, onTrace() {}, onOpen() {} })

export function Graph({ drawing, layouts, ...acts }: GraphProps) {
  const { say } = useWords()
  const drawn = useMemo(
    (): GraphDrawing => ({
      boxes: drawing.nodes.map((each) => ({ id: each.node.id, type: 'asset', width: nodeWidth, height: each.height, data: { drawn: each } })),
      lines: drawing.lines.map(({ id, from, fromSide, to, toSide, kind, traced }) => ({
        id,
        from,
        fromSide,
        to,
        toSide,
        className: `line ${kind}${traced ? ' traced' : ''}`,
        label: say('lineage.line', { from: placeName({ asset: from }), to: placeName({ asset: to }) }),
        above: traced,
      })),
    }),
    [drawing, say],
  )
  const kinds = new Set(drawing.lines.map(({ kind }) => kind))
  return (
    <Acts value={acts}>
      <GraphCanvas
        drawing={drawn}
        layouts={layouts}
        types={nodeTypes}
        label={say('lineage.graph')}
        start={acts.start}
        instead={say('lineage.layoutFailed.hint')}
        legend={<Legend kinds={kinds} />}
      />
    </Acts>
  )
}

function Legend({ kinds }: { kinds: ReadonlySet<LineKind> }) {
  const { say } = useWords()
  return (
    <ul className="legend">
      {(['value', 'rows', 'read', 'unknown'] as const)
        .filter((kind) => kinds.has(kind))
        .map((kind) => (
          <li key={kind}>
            <svg width="26" height="8" aria-hidden>
              <path d="M1 4h24" className={`line-sample ${kind}`} />
            </svg>
            {say(`lineage.kind.${kind}`)}
          </li>
        ))}
    </ul>
  )
}

function AssetBox({ data: { drawn } }: NodeProps<Box>) {
  const { say } = useWords()
  const { start, inspected, effects, onInspect, onTrace, onOpen } = useContext(Acts)
  const { node, rows, hidden, opened } = drawn
  const update = useUpdateNodeInternals()
  const names = rows.map(({ name }) => name).join('\n')
  // The ends of lines are where the rows are.
  useEffect(() => update(node.id), [update, node.id, names, hidden, opened])

  const tier = tierOf(node.id)
  const Icon = kindIcons[node.kind]
  const effect = effects?.get(node.id)
  const name = tier === undefined ? node.name : node.name.slice(tier.length + 1)
  const top = (row: number): number => headHeight + (row + 0.5) * rowHeight
  return (
    <div className={`box nopan${node.id === start ? ' start' : ''}${node.id === inspected ? ' inspected' : ''}`}>
      <Ends side="head" top={headHeight / 2} />
      {tier !== undefined && <span className={`box-tier ${tier}`} aria-hidden />}
      <button type="button" className="box-head" title={node.name} aria-pressed={node.id === inspected} onClick={() => onInspect(node.id)}>
        <b className="cut">{name}</b>
        <span className={tier === undefined ? 'box-kind' : `box-kind ${tier}`}>
          <Icon aria-hidden />
          <span className="cut">{tier === undefined ? say(`asset.${node.kind}`) : say('asset.tableOf', { tier: say(`tier.${tier}`) })}</span>
          {effect !== undefined && (
            <span className="box-effect">
              <Mark tone={effectTone[effect]} />
              {say(`impact.word.${effect}`)}
            </span>
          )}
          {effect === undefined && node.unknown !== undefined && (
            <span className="box-effect" title={node.unknown}>
              <Mark tone="warn" label={say('lineage.unknown')} />
            </span>
          )}
        </span>
      </button>
      {(rows.length > 0 || hidden > 0 || opened) && (
        <ul aria-label={say('lineage.columnsOf', { name: node.name })}>
          {rows.map((row, i) => (
            <li key={row.name}>
              <Ends side={`c:${row.name}`} top={top(i)} />
              <button
                type="button"
                className={`box-row cut${row.traced ? ' traced' : ''}${row.chosen ? ' chosen' : ''}`}
                title={row.name}
                aria-pressed={row.chosen}
                onClick={() => onTrace(node.id, row.name)}
              >
                {row.name}
              </button>
            </li>
          ))}
          {(hidden > 0 || opened) && (
            <li>
              <Ends side="more" top={top(rows.length)} />
              <button type="button" className="box-more" aria-expanded={opened} onClick={() => onOpen(node.id)}>
                <ChevronDown aria-hidden style={opened ? { rotate: '180deg' } : {}} />
                {opened ? say('lineage.fewer') : rows.length === 0 ? say('lineage.columns', { n: hidden }) : say('lineage.more', { n: hidden })}
              </button>
            </li>
          )}
        </ul>
      )}
    </div>
  )
}
