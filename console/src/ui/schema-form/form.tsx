/** The fields of a JSON Schema, with what is wrong beside each. What is entered is the caller's; `useSchemaForm` holds it. */
import './form.css'
import { useId, useMemo, useState } from 'react'
import { ApiError } from '../../api/index.ts'
import { useWords } from '../words/index.tsx'
import { type Fault, type Field, fieldsOf, type Filled, filledWith, parsed, read, refusals } from './fields.ts'

const whole = '*'

export type SchemaForm = {
  /** Undefined where the whole is JSON. */
  readonly fields: readonly Field[] | undefined
  readonly filled: Filled
  readonly set: (name: string, text: string) => void
  /** What is to be sent, or undefined when something is wrong: then the form says what. */
  readonly check: () => unknown
  readonly faults: Readonly<Record<string, Fault>>
}

/** `begin` is what there is already: the params of what is edited. */
export function useSchemaForm(schema: unknown, begin?: unknown): SchemaForm {
  const fields = useMemo(() => fieldsOf(schema), [schema])
  const [filled, setFilled] = useState<Filled>(() =>
    fields === undefined ? { [whole]: begin === undefined ? '' : JSON.stringify(begin, null, 2) } : filledWith(fields, begin),
  )
  const [tried, setTried] = useState(false)
  const result = useMemo(() => (fields === undefined ? readWhole(filled[whole] ?? '') : read(fields, filled)), [fields, filled])
  return {
    fields,
    filled,
    set: (name, text) => setFilled((old) => ({ ...old, [name]: text })),
    check() {
      setTried(true)
      return Object.keys(result.faults).length === 0 ? result.value : undefined
    },
    faults: tried ? result.faults : {},
  }
}

/** Puts the keyboard where something is wrong, once that is drawn. */
export function focusFault(form: HTMLFormElement): void {
  window.setTimeout(() => form.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus())
}

function readWhole(entered: string): { readonly value: unknown; readonly faults: Readonly<Record<string, Fault>> } {
  if (entered.trim() === '') return { value: {}, faults: {} }
  const found = parsed(entered)
  return found === undefined ? { value: undefined, faults: { [whole]: 'json' } } : { value: found.json, faults: {} }
}

/** `refused` is what the server said of what was sent. */
export function SchemaFields({ form, refused }: { form: SchemaForm; refused: unknown }) {
  const { say } = useWords()
  const { fields, filled, faults, set } = form
  const said = refused instanceof ApiError ? refusals(refused.message, fields?.map(({ name }) => name) ?? []) : {}
  if (fields === undefined)
    return (
      <OneField
        field={{
          name: say('form.params'),
          kind: 'json',
          required: false,
          about: undefined,
          standard: undefined,
          choices: [],
          least: undefined,
          most: undefined,
          shape: undefined,
          mayBeNull: false,
        }}
        entered={filled[whole] ?? ''}
        fault={faults[whole]}
        said={undefined}
        onEnter={(text) => set(whole, text)}
      />
    )
  return fields.map((field) => (
    <OneField
      key={field.name}
      field={field}
      entered={filled[field.name] ?? ''}
      fault={faults[field.name]}
      said={said[field.name]}
      onEnter={(text) => set(field.name, text)}
    />
  ))
}

function OneField({
  field,
  entered,
  fault,
  said,
  onEnter,
}: {
  field: Field
  entered: string
  fault: Fault | undefined
  said: string | undefined
  onEnter: (text: string) => void
}) {
  const { say, format } = useWords()
  const id = useId()
  const { name, kind, required, about, standard, choices, least, most } = field
  const wrong = fault === undefined ? said : say(`form.fault.${fault}`, { least: format.number(least ?? 0), most: format.number(most ?? 0) })
  const bounds =
    least !== undefined && most !== undefined
      ? say('form.between', { least: format.number(least), most: format.number(most) })
      : least !== undefined
        ? say('form.atLeast', { least: format.number(least) })
        : most !== undefined
          ? say('form.atMost', { most: format.number(most) })
          : undefined
  const described = about !== undefined || bounds !== undefined
  const shared = {
    id: `${id}-in`,
    'aria-invalid': wrong !== undefined,
    'aria-describedby': [described ? `${id}-about` : '', wrong === undefined ? '' : `${id}-wrong`].filter((part) => part !== '').join(' ') || undefined,
    'aria-required': required,
  }
  const placeholder = standard === undefined || standard === '' ? undefined : standard
  const enter = (event: { currentTarget: { value: string } }): void => onEnter(event.currentTarget.value)
  return (
    <div className="field">
      <label htmlFor={`${id}-in`}>
        <span className="mono">{name}</span>
        {!required && <span className="quiet small">{say('form.optional')}</span>}
      </label>
      {kind === 'boolean' || kind === 'choice' ? (
        <select {...shared} className="select" value={entered} onChange={enter}>
          <option value="">
            {standard === undefined ? say(required ? 'form.choose' : 'form.none') : say('form.standard', { value: wordOf(say, kind, standard) })}
          </option>
          {kind === 'boolean'
            ? (['true', 'false'] as const).map((each) => (
                <option key={each} value={each}>
                  {say(`form.${each}`)}
                </option>
              ))
            : choices.map(({ text }) => (
                <option key={text} value={text}>
                  {text}
                </option>
              ))}
        </select>
      ) : kind === 'json' || kind === 'long' ? (
        <textarea
          {...shared}
          className={kind === 'json' ? 'text-area mono' : 'text-area'}
          rows={Math.min(12, Math.max(3, (entered || placeholder || '').split('\n').length))}
          spellCheck={false}
          placeholder={placeholder}
          value={entered}
          onChange={enter}
        />
      ) : (
        <input
          {...shared}
          className="text-input"
          type={kind === 'date' ? 'date' : kind === 'time' ? 'datetime-local' : 'text'}
          inputMode={kind === 'number' ? 'decimal' : kind === 'integer' ? 'numeric' : undefined}
          step={kind === 'time' ? 1 : undefined}
          autoComplete="off"
          spellCheck={false}
          placeholder={placeholder}
          value={entered}
          onChange={enter}
        />
      )}
      {(described || (standard !== undefined && (kind === 'date' || kind === 'time'))) && (
        <p id={`${id}-about`} className="quiet small">
          {[about, bounds, standard !== undefined && (kind === 'date' || kind === 'time') ? say('form.standard', { value: standard }) : undefined]
            .filter((part) => part !== undefined)
            .join(' · ')}
        </p>
      )}
      {wrong !== undefined && (
        <p id={`${id}-wrong`} className="small c-bad" role="alert">
          {wrong}
        </p>
      )}
    </div>
  )
}

function wordOf(say: ReturnType<typeof useWords>['say'], kind: Field['kind'], standard: string): string {
  return kind === 'boolean' ? say(standard === 'true' ? 'form.true' : 'form.false') : standard
}
