/** The drawing: boxes of assets with their columns, and lines between them. Every box and row is a button, in reading order. */
import '@xyflow/react/dist/base.css'
import { ActionIcon } from '@mantine/core'
import { type Edge, Handle, type Node, type NodeProps, Position, ReactFlow, ReactFlowProvider, useReactFlow, useUpdateNodeInternals } from '@xyflow/react'
import { ChevronDown, Maximize, ZoomIn, ZoomOut } from 'lucide-react'
import { createContext, useContext, useEffect, useMemo, useRef, useState } from 'react'
import { kindIcons, placeName, tierOf } from '../../ui/assets.ts'
import { Mark } from '../../ui/parts.tsx'
import { InlineProblem } from '../../ui/states.tsx'
import { useWords } from '../../ui/words/index.tsx'
import { type DrawnNode, type Drawing, headHeight, type LineKind, nodeWidth, rowHeight } from './drawing.ts'
import { effectTone } from './impact.tsx'
import { knownLayout, type LayoutPlan, type Layouts, type Positions } from './layout.ts'
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

/** Around the drawing, in pixels. */
const margin = 24
const leastZoom = 0.7
const readableZoom = 0.85

type Box = Node<{ drawn: DrawnNode }, 'asset'>
const nodeTypes = { asset: AssetBox }
const Acts = createContext<Omit<GraphProps, 'drawing' | 'layouts'>>({ start: '', inspected: '', effects: undefined, onInspect() {}, onTrace() {}, onOpen() {} })

export function Graph(props: GraphProps) {
  return (
    <ReactFlowProvider>
      <Flow {...props} />
    </ReactFlowProvider>
  )
}

function Flow({ drawing, layouts, ...acts }: GraphProps) {
  const { say } = useWords()
  const { placed, failed } = usePlaced(drawing, layouts)
  const flow = useReactFlow()
  const frame = useRef<HTMLDivElement>(null)
  const shown = placed?.drawing

  const nodes = useMemo(
    (): Box[] =>
      placed === undefined
        ? []
        : placed.drawing.nodes.map((drawn) => ({
            id: drawn.node.id,
            type: 'asset',
            position: placed.positions.get(drawn.node.id) ?? { x: 0, y: 0 },
            width: nodeWidth,
            height: drawn.height,
            // The sizes are ours, so nothing waits for the browser to measure them.
            measured: { width: nodeWidth, height: drawn.height },
            ariaRole: 'group',
            data: { drawn },
          })),
    [placed],
  )
  const edges = useMemo(
    (): Edge[] =>
      (shown?.lines ?? []).map((line) => ({
        id: line.id,
        source: line.from,
        target: line.to,
        sourceHandle: line.fromSide,
        targetHandle: line.toSide,
        className: `line ${line.kind}${line.traced ? ' traced' : ''}`,
        zIndex: line.traced ? 1 : 0,
        ariaLabel: say('lineage.line', { from: placeName({ asset: line.from }), to: placeName({ asset: line.to }) }),
      })),
    [shown, say],
  )

  const fit = (): void => {
    const box = frame.current?.getBoundingClientRect()
    if (box === undefined || nodes.length === 0) return
    const bounds = flow.getNodesBounds(nodes)
    const whole = Math.min((box.width - 2 * margin) / bounds.width, (box.height - 2 * margin) / bounds.height, 1)
    // What would be too small to read is shown around where it begins instead, without a band of nothing at its edges.
    const zoom = whole < leastZoom ? readableZoom : whole
    const start = nodes.find(({ id }) => id === acts.start)
    const [x, y] = start === undefined ? [0, 0] : [start.position.x + nodeWidth / 2, start.position.y + (start.height ?? 0) / 2]
    void flow.setCenter(
      middle(x, bounds.x, bounds.width, box.width / zoom, margin / zoom),
      middle(y, bounds.y, bounds.height, box.height / zoom, margin / zoom),
      { zoom },
    )
  }
  // The view is set when other assets are drawn, and stays where the reader put it when only columns come and go.
  const members = nodes.map(({ id }) => id).join('\n')
  useEffect(fit, [members]) // oxlint-disable-line react/exhaustive-deps

  const kinds = new Set(shown?.lines.map(({ kind }) => kind))
  return (
    <>
      {failed && <InlineProblem title={say('lineage.layoutFailed')} hint={say('lineage.layoutFailed.hint')} />}
      <div className="flow" ref={frame} role="region" aria-label={say('lineage.graph')} aria-busy={placed === undefined}>
        <Acts value={acts}>
          <ReactFlow
            nodes={nodes}
            edges={edges}
            nodeTypes={nodeTypes}
            onInit={fit}
            minZoom={0.2}
            maxZoom={1.6}
            nodesDraggable={false}
            nodesConnectable={false}
            nodesFocusable={false}
            edgesFocusable={false}
            elementsSelectable={false}
            disableKeyboardA11y
            // The wheel scrolls the page, as everywhere; with Ctrl, or two fingers, it zooms.
            zoomOnScroll={false}
            preventScrolling={false}
            zoomActivationKeyCode="Control"
            zoomOnDoubleClick={false}
            proOptions={{ hideAttribution: true }}
          />
        </Acts>
        {placed === undefined && !failed && (
          <div className="flow-waits" role="status">
            {say('lineage.placing')}
          </div>
        )}
      </div>
      <div className="flow-foot">
        <Legend kinds={kinds} />
        <div className="flow-tools">
          <ActionIcon variant="default" size={28} aria-label={say('lineage.zoomIn')} onClick={() => void flow.zoomIn()}>
            <ZoomIn />
          </ActionIcon>
          <ActionIcon variant="default" size={28} aria-label={say('lineage.zoomOut')} onClick={() => void flow.zoomOut()}>
            <ZoomOut />
          </ActionIcon>
          <ActionIcon variant="default" size={28} aria-label={say('lineage.fit')} onClick={fit}>
            <Maximize />
          </ActionIcon>
        </div>
      </div>
    </>
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

/** Where lines come in, on the left, and go out, on the right. */
function Ends({ side, top }: { side: string; top: number }) {
  return (
    <>
      <Handle type="target" position={Position.Left} id={side} style={{ top }} isConnectable={false} />
      <Handle type="source" position={Position.Right} id={side} style={{ top }} isConnectable={false} />
    </>
  )
}

/** The middle of a view that is `view` long, over what lies from `from` on and is `length` long: all of it, or around `wanted` within its ends. */
function middle(wanted: number, from: number, length: number, view: number, margin: number): number {
  if (length + 2 * margin <= view) return from + length / 2
  return Math.min(Math.max(wanted, from - margin + view / 2), from + length + margin - view / 2)
}

type Placed = { readonly drawing: Drawing; readonly positions: Positions }

/** The drawing with its places; the one before stays until the next is placed, so that nothing flickers. */
function usePlaced(drawing: Drawing, layouts: Layouts): { placed: Placed | undefined; failed: boolean } {
  const plan = useMemo(() => planOf(drawing), [drawing])
  const [done, setDone] = useState<Placed>()
  const [failed, setFailed] = useState(false)
  const ready = knownLayout(plan)

  useEffect(() => {
    const stop = new AbortController()
    layouts.place(plan, stop.signal).then(
      (positions) => {
        if (stop.signal.aborted) return
        setDone({ drawing, positions })
        setFailed(false)
      },
      () => {
        if (!stop.signal.aborted) setFailed(true)
      },
    )
    return () => stop.abort()
  }, [layouts, plan, drawing])

  const placed = useMemo(() => (ready === undefined ? done : { drawing, positions: ready }), [ready, done, drawing])
  return { placed, failed }
}

function planOf({ nodes, lines }: Drawing): LayoutPlan {
  const pairs = new Map(lines.map(({ from, to }) => [JSON.stringify([from, to]), [from, to] as const]))
  return {
    boxes: nodes.map(({ node, height }) => ({ id: node.id, width: nodeWidth, height })),
    lines: [...pairs].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, pair]) => pair),
  }
}
