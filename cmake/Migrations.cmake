# berth_migrations(FOLDER): makes a table of string literals of src/store/FOLDER/schema/*.sql, in
# ${CMAKE_CURRENT_BINARY_DIR}/migrations.cc.
function(berth_migrations folder)
  file(GLOB files CONFIGURE_DEPENDS schema/*.sql)
  list(SORT files)
  set(MIGRATION_ROWS "")
  foreach(file ${files})
    cmake_path(GET file STEM name)
    file(READ ${file} text)
    string(APPEND MIGRATION_ROWS "    {\"${name}\", R\"sql(${text})sql\"},\n")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  endforeach()
  set(FOLDER ${folder})
  configure_file(${CMAKE_SOURCE_DIR}/src/store/sql/migrations.cc.in
                 ${CMAKE_CURRENT_BINARY_DIR}/migrations.cc @ONLY)
endfunction()
