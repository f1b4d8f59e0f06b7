/** A text of Python with its lines numbered and what would be refused marked where it stands. */
import { useEffect, useMemo, useRef } from 'react'
import type { FindingShape } from '../../api/index.ts'
import { useWords } from '../../ui/words/index.tsx'
import { markedLines, startOfLine } from './code.ts'

export function CodeEditor({
  code,
  findings,
  place,
  onChange,
  onRun,
}: {
  code: string
  findings: readonly FindingShape[]
  /** Where to put the caret; another object is another wish. */
  place: { readonly line: number } | undefined
  onChange: (code: string) => void
  onRun: () => void
}) {
  const { say } = useWords()
  const area = useRef<HTMLTextAreaElement>(null)
  const lines = useMemo(() => markedLines(code, findings), [code, findings])
  useEffect(() => {
    if (place === undefined || area.current === null) return
    const at = startOfLine(area.current.value, place.line)
    area.current.focus()
    area.current.setSelectionRange(at, at)
  }, [place])

  const indent = (): void => {
    const field = area.current
    if (field === null) return
    const { selectionStart: from, selectionEnd: to } = field
    onChange(`${code.slice(0, from)}    ${code.slice(to)}`)
    requestAnimationFrame(() => field.setSelectionRange(from + 4, from + 4))
  }

  return (
    <div className="code-editor">
      <div className="code-lines" aria-hidden>
        {lines.map((parts, i) => (
          <div key={i} className="code-line">
            <span className={parts.some(({ finding }) => finding !== undefined) ? 'code-number bad' : 'code-number'}>{i + 1}</span>
            <span className="code-text">
              {parts.map(({ text, finding }, at) =>
                finding === undefined ? (
                  text
                ) : (
                  <mark key={at} title={finding.message}>
                    {text}
                  </mark>
                ),
              )}
              {'\n'}
            </span>
          </div>
        ))}
      </div>
      <textarea
        ref={area}
        className="code-area"
        aria-label={say('transforms.code')}
        aria-describedby="findings"
        aria-keyshortcuts="Control+Enter"
        spellCheck={false}
        autoCapitalize="off"
        autoComplete="off"
        wrap="off"
        rows={Math.max(12, lines.length)}
        value={code}
        onChange={(event) => onChange(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
            event.preventDefault()
            onRun()
          }
          // Tab leaves the field, as everywhere; this does what Tab does in an editor.
          if (event.key === ']' && (event.ctrlKey || event.metaKey)) {
            event.preventDefault()
            indent()
          }
        }}
      />
    </div>
  )
}
