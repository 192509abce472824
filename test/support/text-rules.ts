/**
 * The house rules about one file's text that no linter knows. A finding is one line that names the place, what is wrong
 * and what to do. `test/tidy.test.ts` runs them over the repository and shows each one failing.
 */
import { FOLDER_LEVELS } from './import-rules.ts'
import { codeOnly, lineAt, withoutComments, type SourceFile } from './source-text.ts'

interface AmbientBan {
  readonly pattern: RegExp
  readonly what: string
  readonly instead: string
  /** Path prefixes of the files that own this access. */
  readonly owners: readonly string[]
}

const AMBIENT_BANS: readonly AmbientBan[] = [
  {
    pattern: /\bDate\.now\b|\bnew Date\(\s*\)|(?<!new )\bDate\(|\bperformance\.now\b/g,
    what: 'reads the clock',
    instead: 'take a Clock (src/base/clock.ts)',
    owners: ['src/base/clock.ts'],
  },
  {
    pattern: /(?<![.\w#])(?:set|clear)(?:Timeout|Interval|Immediate)\b|\bAbortSignal\.timeout\b/g,
    what: 'uses a timer',
    instead: 'take a Clock (src/base/clock.ts)',
    owners: ['src/base/clock.ts'],
  },
  {
    pattern: /\bMath\.random\b|\brandomUUID\b|\brandomBytes\b|\brandomInt\b|\bgetRandomValues\b/g,
    what: 'is random',
    instead: 'take a Random (src/base/random.ts)',
    owners: ['src/base/random.ts'],
  },
  {
    pattern: /\bprocess\.(?:env|argv|cwd)\b/g,
    what: 'reads the environment',
    instead: 'take a parameter; the engine reads it in src/engine/environment.ts',
    owners: ['src/engine/environment.ts', 'src/cli/'],
  },
  {
    pattern: /(?<![.\w])console\./g,
    what: 'writes to the console',
    instead: 'take a Logger (src/base/logger.ts)',
    owners: [],
  },
  {
    pattern: /\bprocess\.(?:stdin|stdout|stderr)\b/g,
    what: 'uses the terminal',
    instead: 'take a Logger, or do it in src/cli',
    owners: ['src/cli/', 'src/engine/workers/'],
  },
  {
    pattern: /\bprocess\.(?:exit|kill|abort|on|once|exitCode)\b/g,
    what: 'takes part in the life of the process',
    instead: 'leave that to src/engine and src/cli',
    owners: ['src/cli/', 'src/engine/', 'src/server/'],
  },
  {
    pattern: /(?<![.\w#])fetch\(/g,
    what: 'uses the network',
    instead: 'take an ObjectStore, or do it in src/server, src/cli or src/client',
    owners: ['src/server/', 'src/cli/', 'src/client/transport.ts'],
  },
]

const LINES_MAX = 500
const LINE_WIDTH_MAX = 120

/** Words that say nothing about what a thing does. */
const EMPTY_WORDS: readonly string[] = [
  'Manager',
  'Helper',
  'Helpers',
  'Util',
  'Utils',
  'Handler',
  'Core',
  'Impl',
]
const EMPTY_ENDINGS: Readonly<Record<string, readonly string[]>> = {
  class: ['Base', 'Info'],
  interface: ['Info'],
  type: ['Info'],
}

export function ambientFindings(file: SourceFile): string[] {
  if (!file.path.startsWith('src/')) return []
  const code = codeOnly(file.text)
  return AMBIENT_BANS.flatMap(({ pattern, what, instead, owners }) => {
    if (owners.some((owner) => file.path.startsWith(owner))) return []
    return [...code.matchAll(pattern)].map(
      (match) =>
        `${file.path}:${lineAt(code, match.index)}: ${match[0].trim()} ${what}; ${instead}`,
    )
  })
}

export function sizeFindings(file: SourceFile): string[] {
  const lines = file.text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  const found: string[] = []
  if (lines.length > LINES_MAX) {
    found.push(`${file.path}: ${lines.length} lines; over ${LINES_MAX} two things live in one room`)
  }
  const widths = widthsWithoutTexts(file.text)
  widths.forEach((width, index) => {
    if (width > LINE_WIDTH_MAX) {
      found.push(
        `${file.path}:${index + 1}: ${width} characters wide; ${LINE_WIDTH_MAX} is the most`,
      )
    }
  })
  return found
}

/** The width of each line, not counting what stands inside strings: a message is not cut in two for its width. */
function widthsWithoutTexts(text: string): number[] {
  const commentless = withoutComments(text).split('\n')
  const code = codeOnly(text).split('\n')
  return text.split('\n').map((line, index) => {
    const letters = (part: string | undefined): number => part?.replaceAll(' ', '').length ?? 0
    return line.length - (letters(commentless[index]) - letters(code[index]))
  })
}

const DECLARATION =
  /^[ \t]*(?:export\s+)?(?:declare\s+)?(?:abstract\s+|async\s+)?(class|interface|type|function|const|let)\s+([A-Za-z_$][\w$]*)/gm

export function nameFindings(file: SourceFile): string[] {
  const name = file.path.split('/').at(-1) ?? ''
  const found: string[] = []
  if (!/^[a-z0-9]+(-[a-z0-9]+)*(\.(test|bench|config))?\.ts$/.test(name)) {
    found.push(`${file.path}: file names are kebab-case`)
  }
  const nameWords = name.split(/[-.]/).map((word) => word.charAt(0).toUpperCase() + word.slice(1))
  const emptyWord = nameWords.find((word) => EMPTY_WORDS.includes(word))
  if (emptyWord !== undefined)
    found.push(`${file.path}: '${emptyWord}' says nothing; name what it does`)
  const code = codeOnly(file.text)
  for (const match of code.matchAll(DECLARATION)) {
    const problem = declaredNameProblem(match[1] ?? '', match[2] ?? '')
    if (problem !== null) found.push(`${file.path}:${lineAt(code, match.index)}: ${problem}`)
  }
  for (const match of code.matchAll(
    /^\s*(?:export\s+)?(?:declare\s+)?(?:const\s+)?(enum|namespace)\s+\w+/gm,
  )) {
    found.push(
      `${file.path}:${lineAt(code, match.index)}: no ${match[1]}; it is not erasable syntax`,
    )
  }
  return found
}

function declaredNameProblem(keyword: string, name: string): string | null {
  const words = name
    .split(/(?=[A-Z])|_/)
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
  const empty = words.find((word) => EMPTY_WORDS.includes(word))
  if (empty !== undefined) return `'${empty}' in ${name} says nothing; name what it does`
  const ending = words.at(-1) ?? ''
  if (EMPTY_ENDINGS[keyword]?.includes(ending) !== true) return null
  return `${name} ends in '${ending}', which says nothing; name what it is`
}

/** Promises to come back, and silences of the compiler. The words are put together here so that this file passes. */
export function promiseFindings(file: SourceFile): string[] {
  const words = ['TO-DO', 'FIX-ME', 'X-XX', 'HA-CK'].map((word) => word.replace('-', ''))
  const open = new RegExp(`\\b(${words.join('|')})\\b(?!\\(#\\d+\\))`, 'g')
  const silenced = /@ts-(?:ignore|nocheck)|eslint-(?:disable)/g
  return [
    ...[...file.text.matchAll(open)].map(
      (match) =>
        `${file.path}:${lineAt(file.text, match.index)}: ${match[0]} needs an issue: ${match[0]}(#12)`,
    ),
    ...[...file.text.matchAll(silenced)].map(
      (match) => `${file.path}:${lineAt(file.text, match.index)}: mend it instead of ${match[0]}`,
    ),
  ]
}

export function testFindings(file: SourceFile): string[] {
  if (!file.path.endsWith('.test.ts')) return []
  const code = withoutComments(file.text)
  const skipped = [
    ...codeOnly(file.text).matchAll(/\b(?:test|describe|it)\.(only|skip|todo|skipIf)\b/g),
  ].map(
    (match) =>
      `${file.path}:${lineAt(code, match.index)}: .${match[1]} hides a test; run it or remove it`,
  )
  const its = [...codeOnly(file.text).matchAll(/^\s*it\(/gm)].map(
    (match) => `${file.path}:${lineAt(code, match.index)}: say test, not it`,
  )
  const unit = /^test\/unit\/([^/]+)\//.exec(file.path)?.[1]
  const astray = unit !== undefined && FOLDER_LEVELS[unit] === undefined
  return [
    ...skipped,
    ...its,
    ...(astray ? [`${file.path}: test/unit mirrors src, and src/${unit} does not exist`] : []),
  ]
}
