/** One field over time, a line per station. The chart is redrawn by the store, past React: ten times a second is cheap so. */
import 'uplot/dist/uPlot.min.css'
import { useComputedColorScheme } from '@mantine/core'
import { useElementSize } from '@mantine/hooks'
import { useEffect, useMemo, useRef, useState } from 'react'
import uPlot from 'uplot'
import type { FieldShape } from '../../api/index.ts'
import { fieldLabel, unitLabel } from '../../ui/format.ts'
import { Panel, Skeleton } from '../../ui/parts.tsx'
import { useWords } from '../../ui/words/index.tsx'
import type { Limit } from './limits.ts'
import { nullGapsLongerThan, valueRange } from './shape.ts'
import type { LiveStore } from './store.ts'

export type Line = { readonly key: string; readonly colour: number; readonly loud: boolean }

const height = 236
const font = '11px "Geist Variable", system-ui, sans-serif'
const dashes = [undefined, [9, 3], [2, 3]] as const

export function FieldChart({
  store,
  field,
  lines,
  limits,
  rangeLabel,
  only,
  onOnly,
}: {
  store: LiveStore
  field: FieldShape
  lines: readonly Line[]
  limits: readonly Limit[]
  rangeLabel: string
  only: string | undefined
  onOnly: (key: string | undefined) => void
}) {
  const { say, format } = useWords()
  const scheme = useComputedColorScheme()
  const { ref, width } = useElementSize()
  const holder = useRef<HTMLDivElement>(null)
  const [readout, setReadout] = useState<{ at: number; values: (number | null)[] }>()
  const [loaded, setLoaded] = useState(store.loaded)
  const values = [...new Set(limits.map((limit) => limit.value))]
  // Lines and limits are new arrays at every render; the plot is made anew only when they differ.
  const shape = JSON.stringify({ lines, limits: values })
  const drawn = useMemo<{ lines: Line[]; limits: number[] }>(() => JSON.parse(shape), [shape])

  useEffect(() => {
    const target = holder.current
    if (target === null || width === 0) return
    const style = getComputedStyle(document.documentElement)
    const colour = (name: string): string => style.getPropertyValue(name).trim()
    const plot = new uPlot(
      {
        width,
        height,
        padding: [10, 12, 0, 0],
        legend: { show: false },
        cursor: { drag: { x: false, y: false }, points: { size: 6 } },
        scales: { x: { time: true }, y: { range: (_, low, high) => valueRange(low, high, drawn.limits) } },
        axes: [
          {
            stroke: colour('--ink3'),
            font,
            grid: { show: false },
            ticks: { stroke: colour('--line'), size: 4 },
            size: 26,
            space: 84,
            values: (_, splits) => splits.map((at) => (at % 60 === 0 ? format.time(at * 1000) : format.clock(at * 1000))),
          },
          {
            stroke: colour('--ink3'),
            font,
            grid: { stroke: colour('--line'), width: 1 },
            ticks: { show: false },
            size: 44,
            space: 38,
            values: (_, splits) => splits.map((value) => format.number(value, Number.isInteger(value) ? 0 : 1)),
          },
        ],
        series: [
          {},
          ...drawn.lines.map((line) => ({
            label: line.key,
            stroke: colour(`--c${(line.colour % 6) + 1}`),
            dash: [...(dashes[Math.floor(line.colour / 6) % 3] ?? [])],
            width: line.loud ? 2.2 : 1.3,
            points: { show: false },
            gaps: nullGapsLongerThan(() => Math.max(15_000, store.stepMs * 5) / 1000),
          })),
        ],
        hooks: {
          draw: [
            (u) => {
              const { ctx, bbox } = u
              const dpr = uPlot.pxRatio
              ctx.save()
              ctx.strokeStyle = ctx.fillStyle = colour('--er')
              ctx.lineWidth = dpr
              ctx.font = font.replace('11px', `${11 * dpr}px`)
              ctx.setLineDash([5 * dpr, 4 * dpr])
              ctx.textAlign = 'left'
              ctx.textBaseline = 'alphabetic'
              const sorted = drawn.limits.toSorted((a, b) => b - a)
              for (const [i, limit] of sorted.entries()) {
                // Of two limits close together the lower one is named below its line.
                const higher = sorted[i - 1]
                const crowded = higher !== undefined && u.valToPos(limit, 'y', true) - u.valToPos(higher, 'y', true) < 18 * dpr
                const y = Math.round(u.valToPos(limit, 'y', true)) + 0.5
                ctx.beginPath()
                ctx.moveTo(bbox.left, y)
                ctx.lineTo(bbox.left + bbox.width, y)
                ctx.stroke()
                const text = say('live.limit', { value: format.number(limit) })
                const base = y + (crowded ? 13 : -5) * dpr
                ctx.fillStyle = colour('--panel')
                ctx.globalAlpha = 0.8
                ctx.fillRect(bbox.left + 3 * dpr, base - 10 * dpr, ctx.measureText(text).width + 6 * dpr, 13 * dpr)
                ctx.globalAlpha = 1
                ctx.fillStyle = colour('--er')
                ctx.fillText(text, bbox.left + 6 * dpr, base)
              }
              ctx.restore()
            },
          ],
          setCursor: [
            (u) => {
              const { idx } = u.cursor
              const at = idx === null || idx === undefined ? undefined : u.data[0][idx]
              setReadout(
                at === undefined || idx === null || idx === undefined
                  ? undefined
                  : { at: at * 1000, values: drawn.lines.map((_, i) => u.data[i + 1]?.[idx] ?? null) },
              )
            },
          ],
        },
      },
      [[], ...drawn.lines.map(() => [])],
      target,
    )
    const draw = (): void => {
      const {
        times,
        lines: data,
        from,
        until,
      } = store.chart(
        field.name,
        drawn.lines.map((line) => line.key),
      )
      plot.batch(() => {
        plot.setData([times, ...data], false)
        plot.setScale('x', { min: from, max: until })
      })
      setLoaded(store.loaded)
    }
    draw()
    const stop = store.subscribe(draw)
    // The font may arrive after the first drawing; canvas text does not follow by itself.
    let alive = true
    void document.fonts.ready.then(() => {
      if (alive) plot.redraw()
    })
    return () => {
      alive = false
      stop()
      plot.destroy()
    }
  }, [store, field.name, drawn, width, scheme, format, say])

  const label = fieldLabel(field.name)
  const unit = field.unit === undefined ? '' : unitLabel(field.unit)
  const title = field.description !== undefined && field.description !== '' && field.description.length < 40 ? field.description : label
  return (
    <Panel className="chart">
      <div className="panel-head">
        <h2>{title}</h2>
        <span className="quiet">{[title === label ? '' : label, unit].filter((part) => part !== '').join(', ')}</span>
        {readout !== undefined && <span className="quiet small readout-time">{format.clock(readout.at)}</span>}
      </div>
      <div className="legend" role="group" aria-label={say('live.legend')}>
        {lines.map((line, i) => {
          const value = readout?.values[i]
          return (
            <button
              type="button"
              key={line.key}
              className={line.loud ? 'plain-button loud' : 'plain-button'}
              aria-pressed={only === line.key}
              onClick={() => onOnly(only === line.key ? undefined : line.key)}
            >
              <svg width="14" height="4" aria-hidden>
                <line
                  x1="0"
                  x2="14"
                  y1="2"
                  y2="2"
                  stroke={`var(--c${(line.colour % 6) + 1})`}
                  strokeWidth="2.5"
                  strokeDasharray={(dashes[Math.floor(line.colour / 6) % 3] ?? []).join(' ')}
                />
              </svg>
              {line.key}
              {value !== undefined && value !== null && <b>{format.number(value)}</b>}
            </button>
          )
        })}
      </div>
      <div className="plot" ref={ref} role="img" aria-label={say('live.chart', { field: title, unit, range: rangeLabel, n: lines.length })}>
        {!loaded && (
          <div className="plot-loading">
            <Skeleton height={height - 60} />
          </div>
        )}
        <div ref={holder} style={{ height }} />
      </div>
    </Panel>
  )
}
