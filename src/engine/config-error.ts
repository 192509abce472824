import { StratalogError } from '../base/errors.ts'

/** One thing that is wrong with a configuration. */
export interface ConfigProblem {
  readonly path: string
  readonly given: unknown
  readonly allowed: string
}

/** One error for every problem, each with its path, what was given and what is allowed. */
export function configError(problems: readonly ConfigProblem[]): StratalogError {
  const lines = problems.map(
    ({ path, given, allowed }) => `  ${path}: expected ${allowed}; got ${shown(given)}`,
  )
  const count = problems.length === 1 ? 'One problem' : `${problems.length} problems`
  return new StratalogError(
    'config_invalid',
    `${count} with the configuration:\n${lines.join('\n')}`,
    {
      details: {
        problems: problems.map((problem) => ({ ...problem, given: shown(problem.given) })),
      },
    },
  )
}

function shown(value: unknown): string {
  if (value === undefined) return 'nothing'
  // JSON makes null of NaN and the infinities, and has no bigint.
  if (typeof value === 'number' || typeof value === 'bigint') return String(value)
  const json = JSON.stringify(value)
  return json === undefined ? typeof value : json.length > 80 ? `${json.slice(0, 80)}…` : json
}
