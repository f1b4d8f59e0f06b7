/**
 * A drawing of boxes with lines between them, placed by a worker. What stands in a box is the caller's; every box and what is in it are
 * reached with the keyboard in reading order.
 */
import '@xyflow/react/dist/base.css'
import './graph.css'
import { ActionIcon } from '@mantine/core'
import { type Edge, Handle, type Node, type NodeTypes, Position, ReactFlow, ReactFlowProvider, useReactFlow } from '@xyflow/react'
import { Maximize, ZoomIn, ZoomOut } from 'lucide-react'
import { type ReactNode, useEffect, useMemo, useRef, useState } from 'react'
import { InlineProblem } from '../states.tsx'
import { useWords } from '../words/index.tsx'
import { knownLayout, type LayoutPlan, type Layouts, type Positions } from './layout.ts'

export type GraphBox = {
  readonly id: string
  readonly width: number
  readonly height: number
  /** What its component is given; the component is the one of `types` with this name. */
  readonly type: string
  readonly data: Record<string, unknown>
}
export type GraphLine = {
  readonly id: string
  readonly from: string
  readonly to: string
  /** At which of the `Ends` of its boxes it begins and ends. */
  readonly fromSide: string
  readonly toSide: string
  readonly className: string
  readonly label: string
  readonly above: boolean
}
export type GraphDrawing = { readonly boxes: readonly GraphBox[]; readonly lines: readonly GraphLine[] }

export type GraphCanvasProps = {
  drawing: GraphDrawing
  layouts: Layouts
  types: NodeTypes
  label: string
  /** The box that is kept in sight when not all can be. */
  start?: string | undefined
  /** What to do instead, where the graph cannot be drawn. */
  instead?: string | undefined
  legend?: ReactNode
}

/** Around the drawing, in pixels. */
const margin = 24
const leastZoom = 0.7
const readableZoom = 0.85

export function GraphCanvas(props: GraphCanvasProps) {
  return (
    <ReactFlowProvider>
      <Canvas {...props} />
    </ReactFlowProvider>
  )
}

function Canvas({ drawing, layouts, types, label, start: startId, instead, legend }: GraphCanvasProps) {
  const { say } = useWords()
  const { placed, failed } = usePlaced(drawing, layouts)
  const flow = useReactFlow()
  const frame = useRef<HTMLDivElement>(null)

  const nodes = useMemo(
    (): Node[] =>
      placed === undefined
        ? []
        : placed.drawing.boxes.map(({ id, type, width, height, data }) => ({
            id,
            type,
            position: placed.positions.get(id) ?? { x: 0, y: 0 },
            width,
            height,
            // The sizes are ours, so nothing waits for the browser to measure them.
            measured: { width, height },
            ariaRole: 'group',
            data,
          })),
    [placed],
  )
  const edges = useMemo(
    (): Edge[] =>
      (placed?.drawing.lines ?? []).map((line) => ({
        id: line.id,
        source: line.from,
        target: line.to,
        sourceHandle: line.fromSide,
        targetHandle: line.toSide,
        className: line.className,
        zIndex: line.above ? 1 : 0,
        ariaLabel: line.label,
      })),
    [placed],
  )

  const fit = (): void => {
    const box = frame.current?.getBoundingClientRect()
    if (box === undefined || nodes.length === 0) return
    const bounds = flow.getNodesBounds(nodes)
    const whole = Math.min((box.width - 2 * margin) / bounds.width, (box.height - 2 * margin) / bounds.height, 1)
    // What would be too small to read is shown around where it begins instead, without a band of nothing at its edges.
    const zoom = whole < leastZoom ? readableZoom : whole
    const start = nodes.find(({ id }) => id === startId)
    const [x, y] = start === undefined ? [0, 0] : [start.position.x + (start.width ?? 0) / 2, start.position.y + (start.height ?? 0) / 2]
    void flow.setCenter(
      middle(x, bounds.x, bounds.width, box.width / zoom, margin / zoom),
      middle(y, bounds.y, bounds.height, box.height / zoom, margin / zoom),
      { zoom },
    )
  }
  // The view is set when other boxes are drawn, and stays where the reader put it when only what is in them changes.
  const members = nodes.map(({ id }) => id).join('\n')
  useEffect(fit, [members]) // oxlint-disable-line react/exhaustive-deps

  return (
    <>
      {failed && <InlineProblem title={say('graph.layoutFailed')} hint={instead} />}
      <div className="flow" ref={frame} role="region" aria-label={label} aria-busy={placed === undefined}>
        <ReactFlow
          nodes={nodes}
          edges={edges}
          nodeTypes={types}
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
        {placed === undefined && !failed && (
          <div className="flow-waits" role="status">
            {say('graph.placing')}
          </div>
        )}
      </div>
      <div className="flow-foot">
        {legend}
        <div className="flow-tools">
          <ActionIcon variant="default" size={28} aria-label={say('graph.zoomIn')} onClick={() => void flow.zoomIn()}>
            <ZoomIn />
          </ActionIcon>
          <ActionIcon variant="default" size={28} aria-label={say('graph.zoomOut')} onClick={() => void flow.zoomOut()}>
            <ZoomOut />
          </ActionIcon>
          <ActionIcon variant="default" size={28} aria-label={say('graph.fit')} onClick={fit}>
            <Maximize />
          </ActionIcon>
        </div>
      </div>
    </>
  )
}

/** Where lines come in, on the left, and go out, on the right. */
export function Ends({ side, top }: { side: string; top: number }) {
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

type Placed = { readonly drawing: GraphDrawing; readonly positions: Positions }

/** The drawing with its places; the one before stays until the next is placed, so that nothing flickers. */
function usePlaced(drawing: GraphDrawing, layouts: Layouts): { placed: Placed | undefined; failed: boolean } {
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

function planOf({ boxes, lines }: GraphDrawing): LayoutPlan {
  const pairs = new Map(lines.map(({ from, to }) => [JSON.stringify([from, to]), [from, to] as const]))
  return {
    boxes: boxes.map(({ id, width, height }) => ({ id, width, height })),
    lines: [...pairs].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, pair]) => pair),
  }
}
