// Text for JSON schemas: types, tables of fields, examples.

/** A text in a table or a paragraph: no HTML, and no end of a cell. Code spans keep their content. */
export function inline(text = '') {
  return text
    .split(/(`[^`]*`)/)
    .map((part, index) => (index % 2 ? part : part.replaceAll('<', '&lt;')))
    .join('')
    .replaceAll('|', '\\|')
    .replace(/\s*\n\s*/g, ' ');
}

/** A text of several paragraphs. */
export const paragraphs = (text = '') => text.split(/\n\s*\n/).map(inline).join('\n\n');

export const code = (value) => `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;

const nameOf = ($ref) => $ref.split('/').at(-1);

/** Writes about schemas of one document; `link` gives the address of a named schema. */
export class Schemas {
  constructor(document, link) {
    this.named = document.components.schemas;
    this.link = link;
  }

  resolve(schema) {
    return schema?.$ref ? this.named[nameOf(schema.$ref)] : schema;
  }

  /** The type of a value in words, with its limits. */
  type(schema = {}) {
    if (schema.$ref) return `[${nameOf(schema.$ref)}](${this.link(nameOf(schema.$ref))})`;
    if ('const' in schema) return code(schema.const);
    if (schema.enum) return schema.enum.map(code).join(', ');
    const choices = schema.oneOf ?? schema.anyOf;
    if (choices) return choices.map((one) => this.type(one)).join(' or ');
    const types = [schema.type ?? (schema.properties ? 'object' : 'any')].flat();
    if (types.includes('array')) return `array of ${this.type(schema.items)}${range(schema.minItems, schema.maxItems, 'items')}`;
    if (types.includes('object') && typeof schema.additionalProperties === 'object' && !schema.properties) return 'object';
    const format = schema.format && !/^u?int/.test(schema.format) ? ` (${schema.format})` : '';
    const limits = range(schema.minimum, schema.maximum) || range(schema.minLength, schema.maxLength, 'characters');
    return types.join(' or ') + format + limits;
  }

  /** A table with a row per field; fields of unnamed objects follow theirs with a dot. */
  fields(schema) {
    const rows = [...this.rows(this.resolve(schema), '')];
    if (rows.length === 0) return '';
    return ['| field | type | description |', '|---|---|---|', ...rows].join('\n');
  }

  *rows(schema, prefix) {
    for (const [name, field] of Object.entries(schema?.properties ?? {})) {
      const path = `${prefix}${name}`;
      const presence = schema.required?.includes(name) ? '' : ' (optional)';
      const description = field.description ?? (field.$ref ? this.resolve(field)?.description : '');
      const byDefault = field.default === undefined || /default/i.test(description ?? '') ? '' : ` Default: ${code(field.default)}.`;
      yield `| ${code(path)} | ${this.type(field)}${presence} | ${inline(description)}${byDefault} |`;
      const isArray = field.type === 'array';
      const inner = isArray ? field.items : field;
      if (inner?.properties) yield* this.rows(inner, `${path}${isArray ? '[]' : ''}.`);
      for (const choice of inner?.oneOf ?? inner?.anyOf ?? []) {
        if (choice.properties) yield* this.rows(choice, `${path}${isArray ? '[]' : ''}.`);
      }
    }
  }

  /** One page with all named schemas. */
  page(title, introduction) {
    const parts = [`# ${title}`, introduction];
    for (const name of Object.keys(this.named).sort()) {
      const schema = this.named[name];
      const choices = schema.oneOf ?? schema.anyOf;
      parts.push(`## ${name} {#${name}}`, paragraphs(schema.description));
      if (choices) parts.push(`One of: ${choices.map((one) => this.type(one)).join(', ')}.`);
      else if (!schema.properties) parts.push(`Type: ${this.type(schema)}.`);
      parts.push(this.fields(schema));
      for (const choice of choices ?? []) if (choice.properties) parts.push(this.fields(choice));
    }
    return document(parts);
  }
}

function range(from, to, unit = '') {
  const of = unit && ` ${unit}`;
  const number = (value) => value.toLocaleString('en');
  if (from !== undefined && to !== undefined) return `, ${number(from)} to ${number(to)}${of}`;
  if (to !== undefined) return `, at most ${number(to)}${of}`;
  return from ? `, at least ${number(from)}${of}` : '';
}

export const json = (value) => `\`\`\`json\n${JSON.stringify(value, null, 2)}\n\`\`\``;

/** The parts as one document; empty ones are left out. */
export const document = (parts) => `${parts.filter(Boolean).join('\n\n')}\n`;
