/**
 * Scripts by which shells complete command lines, made of the program itself: what it takes is completed, and nothing
 * else. Paths of commands are written `/logs/create`; the program by itself is the empty one.
 */
import type { Command, Option } from 'commander'

export type Shell = 'bash' | 'zsh' | 'fish'

export const SHELLS: readonly Shell[] = ['bash', 'zsh', 'fish']

interface Word {
  readonly name: string
  readonly text: string
}

interface Flag extends Word {
  readonly takesValue: boolean
  readonly choices: readonly string[]
}

/** What may come behind a command. */
interface Place {
  readonly path: string
  readonly commands: readonly Word[]
  readonly flags: readonly Flag[]
}

export function completionScript(program: Command, shell: Shell): string {
  const places = placesOf(program, '')
  return `${SCRIPTS[shell](program.name(), places).join('\n')}\n`
}

function placesOf(command: Command, path: string): readonly Place[] {
  const commands = command.commands.map((sub) => ({ name: sub.name(), text: sub.description() }))
  const flags = command.options.filter((option) => !option.hidden).map(flagOf)
  const help = { name: '--help', text: 'what it takes', takesValue: false, choices: [] }
  return [
    { path, commands, flags: [...flags, help] },
    ...command.commands.flatMap((sub) => placesOf(sub, `${path}/${sub.name()}`)),
  ]
}

function flagOf({ long, short, description, required, optional, argChoices }: Option): Flag {
  return {
    name: long ?? short ?? '',
    text: description,
    takesValue: required || optional,
    choices: argChoices ?? [],
  }
}

type WriteScript = (name: string, places: readonly Place[]) => readonly string[]

const SCRIPTS: Readonly<Record<Shell, WriteScript>> = {
  bash: (name, places) => [
    `_${name}() {`,
    `  local word at='' cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD - 1]}"`,
    `  COMPREPLY=()`,
    `  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do`,
    ...descent(places),
    `  done`,
    `  case "$at $prev" in`,
    ...valueCases(places, (words) => `COMPREPLY=($(compgen -W '${words}' -- "$cur")); return`),
    `  esac`,
    `  case "$at" in`,
    ...wordCases(places, (words) => `COMPREPLY=($(compgen -W '${words}' -- "$cur"))`),
    `  esac`,
    `}`,
    `complete -o default -F _${name} ${name}`,
  ],
  zsh: (name, places) => [
    `#compdef ${name}`,
    `_${name}() {`,
    `  local word at='' prev="\${words[CURRENT-1]}"`,
    `  for word in "\${(@)words[2,CURRENT-1]}"; do`,
    ...descent(places),
    `  done`,
    `  case "$at $prev" in`,
    ...valueCases(places, (words) =>
      words === '' ? '_files; return' : `compadd -- ${words}; return`,
    ),
    `  esac`,
    `  case "$at" in`,
    ...wordCases(places, (words) => `compadd -- ${words}`),
    `  esac`,
    `  [[ "$PREFIX" == -* ]] || _files`,
    `}`,
    `compdef _${name} ${name}`,
  ],
  fish: (name, places) => [
    `function __${name}_at`,
    `  set -l at ''`,
    `  for word in (commandline -opc)[2..-1]`,
    `    switch "$at/$word"`,
    `      case ${commandPaths(places).join(' ')}`,
    `        set at "$at/$word"`,
    `    end`,
    `  end`,
    `  test "$at" = "$argv[1]"`,
    `end`,
    ...places.flatMap(({ path, commands, flags }) => {
      const at = `complete -c ${name} -n "__${name}_at '${path}'"`
      return [
        ...commands.map((word) => `${at} -f -a ${word.name} -d ${quoted(word.text)}`),
        ...flags.map(
          (flag) => `${at} -l ${flag.name.slice(2)} ${fishValue(flag)}-d ${quoted(flag.text)}`,
        ),
      ]
    }),
  ],
}

/** Walks down by the words that are commands; values that look like one are no commands there. */
function descent(places: readonly Place[]): readonly string[] {
  return [
    `    case "$at/$word" in`,
    `      ${commandPaths(places).join('|')}) at="$at/$word" ;;`,
    `    esac`,
  ]
}

function commandPaths(places: readonly Place[]): readonly string[] {
  return places.map(({ path }) => path).filter((path) => path !== '')
}

/** Behind a flag that takes a value: its choices, or a file. */
function valueCases(
  places: readonly Place[],
  complete: (words: string) => string,
): readonly string[] {
  return places.flatMap(({ path, flags }) =>
    flags
      .filter(({ takesValue }) => takesValue)
      .map(({ name, choices }) => `    '${path} ${name}') ${complete(choices.join(' '))} ;;`),
  )
}

function wordCases(
  places: readonly Place[],
  complete: (words: string) => string,
): readonly string[] {
  return places.map(({ path, commands, flags }) => {
    const words = [...commands, ...flags].map(({ name }) => name).join(' ')
    return `    '${path}') ${complete(words)} ;;`
  })
}

function fishValue({ takesValue, choices }: Flag): string {
  if (!takesValue) return ''
  return choices.length === 0 ? '-r ' : `-x -a '${choices.join(' ')}' `
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}
