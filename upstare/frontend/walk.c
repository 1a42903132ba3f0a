/* Reads one unit with libclang and puts what the front end asks for into flat tables: declarations, types, and the trees
 * of the user's own functions and variables. Python then makes no call for each node. The rows are described in
 * tables.py, which must be changed together with this file.
 *
 * libclang's package brings no headers; the few declarations that are needed are written out here. The functions are
 * found in the library that Python has loaded.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- libclang ------------------------------------------------------------------------------------------------- */

typedef struct {
	const void *data;
	unsigned flags;
} CXString;

typedef struct {
	int kind;
	int xdata;
	const void *data[3];
} CXCursor;

typedef struct {
	int kind;
	void *data[2];
} CXType;

typedef struct {
	const void *data[2];
	unsigned number;
} CXSourceLocation;

typedef struct {
	const void *data[2];
	unsigned begin, end;
} CXSourceRange;

struct CXUnsavedFile {
	const char *name;
	const char *contents;
	unsigned long length;
};

typedef int (*visitor)(CXCursor, CXCursor, void *);

extern void *clang_createIndex(int, int);
extern void clang_disposeIndex(void *);
extern void *clang_parseTranslationUnit(void *, const char *, const char *const *, int, struct CXUnsavedFile *, unsigned,
					unsigned);
extern void clang_disposeTranslationUnit(void *);
extern CXCursor clang_getTranslationUnitCursor(void *);
extern unsigned clang_visitChildren(CXCursor, visitor, void *);
extern unsigned clang_getNumDiagnostics(void *);
extern void *clang_getDiagnostic(void *, unsigned);
extern int clang_getDiagnosticSeverity(void *);
extern CXSourceLocation clang_getDiagnosticLocation(void *);
extern CXString clang_getDiagnosticSpelling(void *);
extern void clang_disposeDiagnostic(void *);
extern const char *clang_getCString(CXString);
extern void clang_disposeString(CXString);
extern CXSourceLocation clang_getCursorLocation(CXCursor);
extern CXSourceRange clang_getCursorExtent(CXCursor);
extern CXSourceLocation clang_getRangeStart(CXSourceRange);
extern CXSourceLocation clang_getRangeEnd(CXSourceRange);
extern void clang_getExpansionLocation(CXSourceLocation, void **, unsigned *, unsigned *, unsigned *);
extern CXString clang_getCursorSpelling(CXCursor);
extern CXCursor clang_getCursorReferenced(CXCursor);
extern CXCursor clang_getCursorSemanticParent(CXCursor);
extern CXCursor clang_Cursor_getVarDeclInitializer(CXCursor);
extern int clang_Cursor_getStorageClass(CXCursor);
extern int clang_getCursorTLSKind(CXCursor);
extern unsigned clang_isCursorDefinition(CXCursor);
extern int clang_Cursor_getNumArguments(CXCursor);
extern CXCursor clang_Cursor_getArgument(CXCursor, unsigned);
extern int clang_getCursorBinaryOperatorKind(CXCursor);
extern int clang_getCursorUnaryOperatorKind(CXCursor);
extern CXType clang_getCursorType(CXCursor);
extern CXType clang_getCursorResultType(CXCursor);
extern CXType clang_getEnumDeclIntegerType(CXCursor);
extern long long clang_getEnumConstantDeclValue(CXCursor);
extern CXType clang_getCanonicalType(CXType);
extern CXString clang_getTypeSpelling(CXType);
extern CXType clang_getPointeeType(CXType);
extern CXType clang_getElementType(CXType);
extern long long clang_getNumElements(CXType);
extern CXType clang_getResultType(CXType);
extern int clang_getNumArgTypes(CXType);
extern CXType clang_getArgType(CXType, unsigned);
extern unsigned clang_isFunctionTypeVariadic(CXType);
extern CXCursor clang_getTypeDeclaration(CXType);
extern long long clang_Type_getSizeOf(CXType);
extern long long clang_Type_getAlignOf(CXType);
extern unsigned clang_isConstQualifiedType(CXType);
extern unsigned clang_isVolatileQualifiedType(CXType);
extern unsigned clang_isRestrictQualifiedType(CXType);
extern unsigned clang_Type_visitFields(CXType, int (*)(CXCursor, void *), void *);
extern unsigned clang_Cursor_isBitField(CXCursor);
extern int clang_getFieldDeclBitWidth(CXCursor);
extern long long clang_Cursor_getOffsetOfField(CXCursor);

enum {
	CURSOR_ENUM = 5,
	CURSOR_ENUMERATOR = 7,
	CURSOR_FUNCTION = 8,
	CURSOR_VARIABLE = 9,
	CURSOR_LAST_DECLARATION = 39,
	CURSOR_TYPE_REFERENCE = 43,
	CURSOR_INVALID_FILE = 70,
	CURSOR_NO_DECLARATION = 71,
	CURSOR_FIRST_EXPRESSION = 100,
	CURSOR_REFERENCE = 101,
	CURSOR_MEMBER = 102,
	CURSOR_UNARY = 112,
	CURSOR_BINARY = 114,
	CURSOR_ASSIGNMENT = 115,
	CURSOR_LAST_EXPRESSION = 199,
	CURSOR_LABEL = 201,
	CURSOR_UNIT = 350,
	TYPE_UNEXPOSED = 1,
	TYPE_RECORD = 105,
	SEVERITY_ERROR = 3,
};

/* ---- tables ----------------------------------------------------------------------------------------------------- */

struct table {
	void *rows;
	int64_t count;
	int64_t room;
};

struct tree_row {
	int32_t kind, start, end, last, parent, operator, name, type, declaration;
};

struct declaration_row {
	int32_t kind, name, location, start, end, storage, thread_local, type, flags, result, underlying, arguments,
		n_arguments, tree, value;
};

struct type_row {
	int64_t kind, name, canonical, pointee, element, count, size, align, flags, result, arguments, n_arguments,
		declaration, fields, n_fields;
};

struct field_row {
	int64_t name, type, offset, width;
};

struct error_row {
	int32_t offset, message;
};

enum { IS_DEFINITION = 1, IS_FILE_SCOPE = 2, HAS_INITIALISER = 4 };
enum { IS_CONST = 1, IS_VOLATILE = 2, IS_RESTRICT = 4, IS_VARIADIC = 8 };

struct unit {
	struct table trees, declarations, types, fields, errors;
	struct table top;	/* int32_t: declarations at file scope, in order of text */
	struct table lists;	/* int32_t: argument types and parameters */
	struct table text;	/* char: names, each ended by a NUL */
	struct table names;	/* int32_t: where each name begins in the text */
};

/* Pointers, or texts, by the row that stands for them. */
struct index {
	uint64_t *keys;
	int32_t *rows;
	int64_t used, room;
};

struct walk {
	struct unit *unit;
	struct index by_declaration, by_type, by_name;
	struct table pending;	/* CXType of each row in types, so far not all filled in */
	const int32_t *origins;	/* offsets of the line markers */
	const uint8_t *system;	/* for each, whether the text after it is of a system header */
	int32_t n_origins;
};

/* Memory of ``count`` things, the ones in ``old`` among them. Where there is none, the process that reads the unit ends:
 * it has nothing to put in order. */
static void *room_for(void *old, int64_t count, int64_t size)
{
	void *memory = realloc(old, count * size);

	if (memory == NULL)
		abort();
	return memory;
}

/* New rows, all zero; their addresses hold until the next call. */
static void *add_rows(struct table *t, int64_t size, int64_t count)
{
	void *rows;

	if (t->count + count > t->room) {
		t->room = (t->count + count) * 2 + 64;
		t->rows = room_for(t->rows, t->room, size);
	}
	rows = (char *)t->rows + t->count * size;
	memset(rows, 0, count * size);
	t->count += count;
	return rows;
}

#define ROW(table, type, i) ((type *)(table).rows + (i))

static uint64_t mixed(uint64_t x)
{
	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15u;
	return x ^ (x >> 29);
}

static void enlarge(struct index *x)
{
	struct index larger = {.room = x->room ? x->room * 2 : 1024};
	int64_t i, j;

	larger.keys = room_for(NULL, larger.room, sizeof *larger.keys);
	larger.rows = room_for(NULL, larger.room, sizeof *larger.rows);
	memset(larger.keys, 0, larger.room * sizeof *larger.keys);
	for (i = 0; i < x->room; i++) {
		if (!x->keys[i])
			continue;
		for (j = mixed(x->keys[i]) & (larger.room - 1); larger.keys[j]; j = (j + 1) & (larger.room - 1))
			;
		larger.keys[j] = x->keys[i];
		larger.rows[j] = x->rows[i];
	}
	larger.used = x->used;
	free(x->keys);
	free(x->rows);
	*x = larger;
}

/* Where the row of ``key`` (not 0) is noted; -1 stands there if it has none yet. */
static int32_t *find(struct index *x, uint64_t key)
{
	int64_t i;

	if ((x->used + 1) * 2 > x->room)
		enlarge(x);
	for (i = mixed(key) & (x->room - 1); x->keys[i] && x->keys[i] != key; i = (i + 1) & (x->room - 1))
		;
	if (!x->keys[i]) {
		x->keys[i] = key;
		x->rows[i] = -1;
		x->used++;
	}
	return &x->rows[i];
}

/* ---- names and places --------------------------------------------------------------------------------------------- */

static const char *text_of(struct walk *w, int32_t name)
{
	return ROW(w->unit->text, char, *ROW(w->unit->names, int32_t, name));
}

static int32_t text_row(struct walk *w, const char *text)
{
	uint64_t hash = 14695981039346656037u;
	int32_t *row;
	const char *p;

	for (p = text; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 1099511628211u;
	for (hash |= 1; row = find(&w->by_name, hash), *row >= 0 && strcmp(text_of(w, *row), text); hash += 2)
		; /* another name has this hash */
	if (*row < 0) {
		int64_t length = strlen(text) + 1;

		*row = w->unit->names.count;
		*(int32_t *)add_rows(&w->unit->names, sizeof(int32_t), 1) = w->unit->text.count;
		memcpy(add_rows(&w->unit->text, 1, length), text, length);
	}
	return *row;
}

static int32_t name_row(struct walk *w, CXString string)
{
	const char *text = clang_getCString(string);
	int32_t row = text_row(w, text != NULL ? text : "");

	clang_disposeString(string);
	return row;
}

static int32_t number_row(struct walk *w, long long number)
{
	char text[24];

	snprintf(text, sizeof text, "%lld", number);
	return text_row(w, text);
}

static int32_t offset_of(CXSourceLocation location)
{
	unsigned offset = 0;

	clang_getExpansionLocation(location, NULL, NULL, NULL, &offset);
	return offset;
}

/* Whether the text at ``offset`` is of a system header. */
static int is_system(struct walk *w, int32_t offset)
{
	int32_t low = 0, high = w->n_origins;

	while (high - low > 1) {
		int32_t middle = (low + high) / 2;

		if (w->origins[middle] <= offset)
			low = middle;
		else
			high = middle;
	}
	return w->system[low];
}

/* ---- types and declarations ----------------------------------------------------------------------------------------- */

/* The row of a type. It is filled in later, by fill_types: a type leads to others without end. */
static int32_t type_row(struct walk *w, CXType type)
{
	int32_t *row = find(&w->by_type, type.data[0] ? (uint64_t)(uintptr_t)type.data[0] : 1);

	if (*row < 0) {
		*row = w->unit->types.count;
		add_rows(&w->unit->types, sizeof(struct type_row), 1);
		*(CXType *)add_rows(&w->pending, sizeof(CXType), 1) = type;
	}
	return *row;
}

static int32_t declaration_row(struct walk *w, CXCursor cursor)
{
	struct declaration_row d = {.kind = cursor.kind, .tree = -1, .value = -1};
	CXSourceRange extent;
	CXCursor parent;
	int32_t *known;
	int32_t i, row;

	if (cursor.kind == CURSOR_INVALID_FILE || cursor.kind == CURSOR_NO_DECLARATION || cursor.data[0] == NULL)
		return -1;
	known = find(&w->by_declaration, (uint64_t)(uintptr_t)cursor.data[0]);
	if (*known >= 0)
		return *known;
	row = *known = w->unit->declarations.count;
	add_rows(&w->unit->declarations, sizeof d, 1);
	extent = clang_getCursorExtent(cursor);
	parent = clang_getCursorSemanticParent(cursor);
	d.name = name_row(w, clang_getCursorSpelling(cursor));
	d.location = offset_of(clang_getCursorLocation(cursor));
	d.start = offset_of(clang_getRangeStart(extent));
	d.end = offset_of(clang_getRangeEnd(extent));
	d.storage = clang_Cursor_getStorageClass(cursor);
	d.type = type_row(w, clang_getCursorType(cursor));
	d.flags |= clang_isCursorDefinition(cursor) ? IS_DEFINITION : 0;
	d.flags |= parent.kind == CURSOR_UNIT || parent.kind == CURSOR_INVALID_FILE ? IS_FILE_SCOPE : 0;
	d.result = d.underlying = -1;
	if (cursor.kind == CURSOR_ENUM)
		d.underlying = type_row(w, clang_getEnumDeclIntegerType(cursor));
	if (cursor.kind == CURSOR_ENUMERATOR)
		d.value = number_row(w, clang_getEnumConstantDeclValue(cursor));
	if (cursor.kind == CURSOR_VARIABLE) {
		d.thread_local = clang_getCursorTLSKind(cursor);
		if (clang_Cursor_getVarDeclInitializer(cursor).kind != CURSOR_INVALID_FILE)
			d.flags |= HAS_INITIALISER;
	}
	if (cursor.kind == CURSOR_FUNCTION) {
		d.result = type_row(w, clang_getCursorResultType(cursor));
		d.n_arguments = clang_Cursor_getNumArguments(cursor);
		d.arguments = w->unit->lists.count;
		add_rows(&w->unit->lists, sizeof(int32_t), d.n_arguments);
		for (i = 0; i < d.n_arguments; i++) {
			int32_t argument = declaration_row(w, clang_Cursor_getArgument(cursor, i));

			*ROW(w->unit->lists, int32_t, d.arguments + i) = argument;
		}
	}
	*ROW(w->unit->declarations, struct declaration_row, row) = d;
	return row;
}

static int add_field(CXCursor field, void *data)
{
	struct walk *w = data;
	struct field_row f;

	f.name = name_row(w, clang_getCursorSpelling(field));
	f.type = type_row(w, clang_getCursorType(field));
	f.offset = clang_Cursor_getOffsetOfField(field);
	f.width = clang_Cursor_isBitField(field) ? clang_getFieldDeclBitWidth(field) : -1;
	*(struct field_row *)add_rows(&w->unit->fields, sizeof f, 1) = f;
	return 1; /* go on */
}

static struct type_row type_facts(struct walk *w, CXType type)
{
	struct type_row t = {.kind = type.kind};
	int32_t i;

	t.name = name_row(w, clang_getTypeSpelling(type));
	t.canonical = type_row(w, clang_getCanonicalType(type));
	t.pointee = type_row(w, clang_getPointeeType(type));
	t.element = type_row(w, clang_getElementType(type));
	t.count = clang_getNumElements(type);
	t.size = t.align = -1;
	if (clang_getCanonicalType(type).kind != TYPE_UNEXPOSED) { /* that of a builtin function has none: libclang ends */
		t.size = clang_Type_getSizeOf(type);
		t.align = clang_Type_getAlignOf(type);
	}
	t.flags |= clang_isConstQualifiedType(type) ? IS_CONST : 0;
	t.flags |= clang_isVolatileQualifiedType(type) ? IS_VOLATILE : 0;
	t.flags |= clang_isRestrictQualifiedType(type) ? IS_RESTRICT : 0;
	t.flags |= clang_isFunctionTypeVariadic(type) ? IS_VARIADIC : 0;
	t.result = type_row(w, clang_getResultType(type));
	t.n_arguments = clang_getNumArgTypes(type);
	t.n_arguments = t.n_arguments > 0 ? t.n_arguments : 0;
	t.arguments = w->unit->lists.count;
	add_rows(&w->unit->lists, sizeof(int32_t), t.n_arguments);
	for (i = 0; i < t.n_arguments; i++) {
		int32_t argument = type_row(w, clang_getArgType(type, i));

		*ROW(w->unit->lists, int32_t, t.arguments + i) = argument;
	}
	t.declaration = declaration_row(w, clang_getTypeDeclaration(type));
	t.fields = w->unit->fields.count;
	if (type.kind == TYPE_RECORD)
		clang_Type_visitFields(type, add_field, w);
	t.n_fields = w->unit->fields.count - t.fields;
	return t;
}

static void fill_types(struct walk *w)
{
	int64_t i;

	for (i = 0; i < w->unit->types.count; i++) {
		struct type_row t = type_facts(w, *ROW(w->pending, CXType, i));

		*ROW(w->unit->types, struct type_row, i) = t;
	}
}

/* ---- trees --------------------------------------------------------------------------------------------------------- */

struct branch {
	struct walk *w;
	int32_t row; /* of the parent */
	CXCursor initialiser;
};

static int32_t tree_row(struct walk *w, CXCursor cursor, int32_t parent);

static int same(CXCursor one, CXCursor two)
{
	return one.kind == two.kind && one.data[0] == two.data[0] && one.data[1] == two.data[1];
}

static int add_child(CXCursor cursor, CXCursor parent, void *data)
{
	struct branch *branch = data;
	int32_t row = tree_row(branch->w, cursor, branch->row);

	(void)parent;
	if (same(cursor, branch->initialiser))
		ROW(branch->w->unit->trees, struct tree_row, branch->row)->operator = row;
	return 1; /* the next one; tree_row has been below */
}

/* The row of a cursor, with those of everything below it behind. */
static int32_t tree_row(struct walk *w, CXCursor cursor, int32_t parent)
{
	int32_t row = w->unit->trees.count;
	struct tree_row t = {.kind = cursor.kind, .parent = parent, .operator = -1, .type = -1, .declaration = -1};
	struct branch branch = {w, row, {.kind = CURSOR_INVALID_FILE}};
	CXSourceRange extent = clang_getCursorExtent(cursor);
	int declares = cursor.kind <= CURSOR_LAST_DECLARATION;

	add_rows(&w->unit->trees, sizeof t, 1);
	t.start = offset_of(clang_getRangeStart(extent));
	t.end = offset_of(clang_getRangeEnd(extent));
	if (declares) {
		t.declaration = declaration_row(w, cursor);
		if (t.declaration >= 0 && ROW(w->unit->declarations, struct declaration_row, t.declaration)->tree < 0)
			ROW(w->unit->declarations, struct declaration_row, t.declaration)->tree = row;
	} else if (cursor.kind == CURSOR_REFERENCE || cursor.kind == CURSOR_TYPE_REFERENCE) {
		t.declaration = declaration_row(w, clang_getCursorReferenced(cursor));
	}
	if (declares || cursor.kind == CURSOR_REFERENCE || cursor.kind == CURSOR_MEMBER || cursor.kind == CURSOR_LABEL)
		t.name = name_row(w, clang_getCursorSpelling(cursor));
	else
		t.name = -1;
	if (declares || (cursor.kind >= CURSOR_FIRST_EXPRESSION && cursor.kind <= CURSOR_LAST_EXPRESSION))
		t.type = type_row(w, clang_getCursorType(cursor));
	if (cursor.kind == CURSOR_BINARY || cursor.kind == CURSOR_ASSIGNMENT)
		t.operator = clang_getCursorBinaryOperatorKind(cursor);
	else if (cursor.kind == CURSOR_UNARY)
		t.operator = clang_getCursorUnaryOperatorKind(cursor);
	else if (cursor.kind == CURSOR_VARIABLE)
		branch.initialiser = clang_Cursor_getVarDeclInitializer(cursor);
	*ROW(w->unit->trees, struct tree_row, row) = t;
	clang_visitChildren(cursor, add_child, &branch);
	ROW(w->unit->trees, struct tree_row, row)->last = w->unit->trees.count;
	return row;
}

/* ---- the unit ------------------------------------------------------------------------------------------------------- */

static int add_top(CXCursor cursor, CXCursor parent, void *data)
{
	(void)parent;
	*(CXCursor *)add_rows(data, sizeof(CXCursor), 1) = cursor;
	return 1;
}

/* Whether the tree below a declaration at file scope is asked for. */
static int is_users(struct walk *w, struct declaration_row *d)
{
	if (d->kind == CURSOR_FUNCTION) /* the end: the first word may be a macro of a system header */
		return (d->flags & IS_DEFINITION) && !is_system(w, d->end - 1);
	return d->kind == CURSOR_VARIABLE && (d->flags & HAS_INITIALISER) && !is_system(w, d->location);
}

static void read_declarations(struct walk *w, void *parsed)
{
	struct table cursors = {0};
	int64_t i;

	clang_visitChildren(clang_getTranslationUnitCursor(parsed), add_top, &cursors);
	for (i = 0; i < cursors.count; i++) {
		int32_t row = declaration_row(w, *ROW(cursors, CXCursor, i));

		*(int32_t *)add_rows(&w->unit->top, sizeof(int32_t), 1) = row;
	}
	for (i = 0; i < cursors.count; i++) {
		int32_t row = *ROW(w->unit->top, int32_t, i);

		if (row >= 0 && is_users(w, ROW(w->unit->declarations, struct declaration_row, row)))
			tree_row(w, *ROW(cursors, CXCursor, i), -1);
	}
	free(cursors.rows);
}

static void read_errors(struct walk *w, void *parsed)
{
	unsigned i, count = clang_getNumDiagnostics(parsed);

	for (i = 0; i < count; i++) {
		void *diagnostic = clang_getDiagnostic(parsed, i);

		if (clang_getDiagnosticSeverity(diagnostic) >= SEVERITY_ERROR) {
			struct error_row e;

			e.offset = offset_of(clang_getDiagnosticLocation(diagnostic));
			e.message = name_row(w, clang_getDiagnosticSpelling(diagnostic));
			*(struct error_row *)add_rows(&w->unit->errors, sizeof e, 1) = e;
		}
		clang_disposeDiagnostic(diagnostic);
	}
}

/* The tables of a unit, for free_unit; NULL if libclang cannot read it at all. */
__attribute__((visibility("default"))) struct unit *read_unit(const char *text, unsigned long length,
							      const char *const *arguments, int n_arguments,
							      const int32_t *origins, const uint8_t *system,
							      int32_t n_origins)
{
	struct CXUnsavedFile file = {"unit.c", text, length};
	struct walk w = {.origins = origins, .system = system, .n_origins = n_origins};
	void *index = clang_createIndex(0, 0);
	void *parsed = clang_parseTranslationUnit(index, file.name, arguments, n_arguments, &file, 1, 0);

	if (parsed != NULL) {
		w.unit = room_for(NULL, 1, sizeof *w.unit);
		memset(w.unit, 0, sizeof *w.unit);
		read_declarations(&w, parsed);
		fill_types(&w);
		read_errors(&w, parsed);
		clang_disposeTranslationUnit(parsed);
	}
	clang_disposeIndex(index);
	free(w.pending.rows);
	free(w.by_declaration.keys);
	free(w.by_declaration.rows);
	free(w.by_type.keys);
	free(w.by_type.rows);
	free(w.by_name.keys);
	free(w.by_name.rows);
	return w.unit;
}

__attribute__((visibility("default"))) void free_unit(struct unit *unit)
{
	struct table *tables[] = {&unit->trees, &unit->declarations, &unit->types, &unit->fields, &unit->errors,
				  &unit->top,	&unit->lists,	     &unit->text,  &unit->names};
	unsigned i;

	for (i = 0; i < sizeof tables / sizeof *tables; i++)
		free(tables[i]->rows);
	free(unit);
}
